"""The data plane's parts, shared by workers and the admin API: connections, the exchange, pools, timers.

Everything here runs in callbacks of one event loop. A request on its common path makes no task, no await, no
stream object and no timer of its own.
"""
