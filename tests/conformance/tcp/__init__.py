"""Connections that carry bytes, proxyd against the real Envoy: each case has its own listener and host.

``case.py``          what a client does, what is configured, how the host behaves
``client.py``        plays it and keeps what came back
``hosts.py``         a host for each case
``bootstrap.py``     one configuration of all cases
``laboratory.py``    plays all cases on both, and reads logs and counters
"""
