import asyncio

from proxyd.supervisor import zygote as zygote_module
from proxyd.supervisor.zygote import Zygote, ZygoteOwner


class Owner(ZygoteOwner):
    def __init__(self):
        self.hello = asyncio.Event()
        self.gone = asyncio.Event()
        self.reason = ""

    def on_hello(self):
        self.hello.set()

    def on_zygote_gone(self, reason):
        self.reason = reason
        self.gone.set()


def test_it_says_hello_and_goes_when_let_go():
    async def live():
        owner = Owner()
        zygote = Zygote(asyncio.get_running_loop(), owner)
        await asyncio.wait_for(owner.hello.wait(), 20)
        assert zygote.ready
        zygote.end("no longer needed")
        await asyncio.wait_for(owner.gone.wait(), 20)
        assert owner.reason == "no longer needed"

    asyncio.run(live())


def test_code_that_cannot_be_imported_is_the_reason(monkeypatch):
    monkeypatch.setattr(zygote_module, "_MODULE", "proxyd.workers.no_such_module")

    async def live():
        owner = Owner()
        Zygote(asyncio.get_running_loop(), owner)
        await asyncio.wait_for(owner.gone.wait(), 20)
        assert "No module named proxyd.workers.no_such_module" in owner.reason

    asyncio.run(live())


def test_another_protocol_is_refused_by_name(monkeypatch):
    monkeypatch.setattr(zygote_module, "PROTOCOL", 99)

    async def live():
        owner = Owner()
        Zygote(asyncio.get_running_loop(), owner)
        await asyncio.wait_for(owner.gone.wait(), 20)
        assert "speaks control protocol 3, this one 99: restart instead" in owner.reason
        assert not owner.hello.is_set()

    asyncio.run(live())
