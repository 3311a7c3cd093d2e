"""Sans-I/O codecs: bytes in, events or calls out. No socket, no clock, no configuration object."""
