"""proxyd against the real Envoy: one YAML and the same raw requests through both, all compared.

A module of cases (``test_*.py``) is a table: ``LISTENERS`` (a name and the connection manager's YAML each)
and ``CASES``. All listeners stand in one bootstrap, which one Envoy and one proxyd run; both are asked the
same questions at the same time, each in front of a scripted origin of its own. What may differ is in
``intended.py``.

``wire.py``       a strict reader of HTTP/1.1, written without looking at proxyd's
``basic.py``      the listener of most cases
``case.py``       what is sent, what the origin answers, what is observed
``origin.py``     the scripted origin
``client.py``     plays a case on one connection
``bootstrap.py``  one configuration from the modules' listeners
``proxies.py``    the two programs as processes
``compare.py``    what is left out, and the differences between two observations
``laboratory.py`` plays all cases on both
``owed.py``       differences that are mistakes, until they are mended
``judge.py``      malformed messages: what may reach the other side, and what must be refused
"""
