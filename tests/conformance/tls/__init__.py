"""TLS, proxyd against the real Envoy: as the tables of tests/conformance, with certificates.

``pki.py``           the certificates, made for each run
``case.py``          what a client offers, what both have to agree on
``client.py``        shakes hands and asks
``origins.py``       origins that speak TLS, each with a temper of its own
``bootstrap.py``     one configuration from the modules' listeners and clusters
``laboratory.py``    plays all cases on both
"""
