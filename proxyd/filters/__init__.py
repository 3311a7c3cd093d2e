"""HTTP and network filters: one file a filter, ``base.py`` is their contract."""
