"""Exceptions that nothing on the data plane expects: told to the loop's owner, who logs and counts them."""

import asyncio


def report_bug(loop: asyncio.AbstractEventLoop, error: Exception, where: str) -> None:
    """Hand ``error`` to the loop's exception handler; whoever caught it goes on without what it broke."""
    loop.call_exception_handler({"message": where, "exception": error})
