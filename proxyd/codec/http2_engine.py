"""Which HTTP/2 engine is used: ngh2 where it is installed, else h2, much slower and good enough."""

from proxyd.codec.http2 import Http2Engine, Http2Events, Http2Options

NGH2 = "ngh2"
H2 = "h2"


class _Choice:
    """The engine of connections from now on."""

    def __init__(self) -> None:
        self.name: str = NGH2 if ngh2_is_installed() else H2
        if self.name == H2:
            import proxyd.codec.http2_h2  # noqa: F401 - now, before workers are forked


def ngh2_is_installed() -> bool:
    """Whether the package is there and of a version that can be used."""
    try:
        import proxyd.codec.http2_ngh2  # noqa: F401
    except ImportError:
        return False
    return True


_choice = _Choice()


def choose_engine(name: str) -> str:
    """Use NGH2 or H2 for new connections; the one that was used before."""
    before = _choice.name
    _choice.name = name
    return before


def new_engine(
    events: Http2Events, options: Http2Options, server: bool, max_bytes: int, max_count: int
) -> Http2Engine:
    """The engine of a connection, its first SETTINGS waiting in ``output``; parameters as in Ngh2Engine."""
    if _choice.name == NGH2:
        from proxyd.codec.http2_ngh2 import Ngh2Engine

        return Ngh2Engine(events, options, server, max_bytes, max_count)
    from proxyd.codec.http2_h2 import H2Engine

    return H2Engine(events, options, server, max_bytes, max_count)
