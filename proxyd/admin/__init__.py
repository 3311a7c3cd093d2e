"""The admin API: Envoy's paths, methods, formats and status codes, and /workers.

`api` answers a request, `endpoints` is the table from which dispatch, /help and / are made, `context` is what
the handlers ask of the supervisor. No socket is opened here and no state is kept.
"""
