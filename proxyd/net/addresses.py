"""Addresses as text."""


def format_address(host: str, port: int) -> str:
    """``ip:port``, brackets around an IPv6 address: Envoy's way to write an address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
