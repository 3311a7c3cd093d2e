"""Files that resources name: certificates, keys, bodies. What they hold now replaces what was read."""

from typing import Final

import msgspec

from proxyd.config import data_source
from proxyd.config.message import Message
from proxyd.supervisor.resource_view import COMPILE_ERRORS, View
from proxyd.supervisor.resources import (
    REFRESH,
    REJECTED,
    ROTATION,
    STATIC_KEY,
    SUCCESS,
    Key,
    Outcome,
    Problem,
    Resource,
    State,
)


class Contents:
    """Reads again what has been touched, for one round; ``outcomes`` takes what came of it."""

    def __init__(self, view: View, touched: frozenset[str] | None, outcomes: list[Outcome]) -> None:
        """``touched`` are the files that have changed, None where everything is read anew by others."""
        self._view: Final = view
        self._touched: Final = touched
        self._outcomes: Final = outcomes

    def refresh(self, key: Key, state: State) -> State:
        """The resources of a file that has not changed, with the present contents of the files they name."""
        resources = dict(state.resources)
        problems = dict(state.problems)
        for name, resource in state.resources.items():
            if not self._is_touched(resource.message):
                continue
            fresh, reasons = self._read_again(resource.message)
            if reasons:
                problems[name] = Problem(None, state.version_info, self._view.now, reasons)
                self._outcomes.append(Outcome(key, ROTATION, reasons, False, False))
                continue
            told = problems.pop(name, None) is not None
            if fresh is not resource.message:
                resources[name] = Resource(fresh, resource.version_info, self._view.now)
            if told or fresh is not resource.message:
                self._outcomes.append(Outcome(key, REFRESH, (), fresh is not resource.message, False))
        return msgspec.structs.replace(state, resources=resources, problems=problems)

    def refresh_static(self) -> None:
        """The same for the resources of the bootstrap. What was wrong stays told until it is mended."""
        view = self._view
        before = view.before.get(STATIC_KEY)
        problems = {} if before is None or self._touched is None else dict(before.problems)
        failed: list[str] = []
        read = changed = False
        # Secrets first: what refers to them is compiled with what they are now.
        for field in ("secrets", "listeners", "clusters"):
            present: tuple[Message, ...] = getattr(view.written.static_resources, field)
            fresh = list(present)
            for index, each in enumerate(present):
                if not self._is_touched(each):
                    continue
                read = True
                name = f"{field}[{index}]"
                problems.pop(name, None)
                fresh[index], reasons = self._read_again(each)
                if reasons:
                    told = tuple(f"static_resources.{name}: {reason}" for reason in reasons)
                    problems[name] = Problem(None, "", view.now, told)
                    failed += told
            if any(new is not old for new, old in zip(fresh, present, strict=True)):
                changed = True
                static = msgspec.structs.replace(view.written.static_resources, **{field: tuple(fresh)})
                view.written = msgspec.structs.replace(view.written, static_resources=static)
        if read:
            problems.pop("", None)  # why the last attempt as a whole was in vain
            result = REJECTED if failed else SUCCESS
            self._outcomes.append(Outcome(STATIC_KEY, result, tuple(failed), changed, False))
        if read or before is not None:
            state = before or State()
            updated = view.now if changed else state.updated
            view.states[STATIC_KEY] = msgspec.structs.replace(
                state, updated=updated, problems=problems, result=REJECTED if problems else SUCCESS
            )

    def _is_touched(self, message: Message) -> bool:
        """Whether something it names has changed. All its files then: a certificate belongs to a key."""
        touched = self._touched
        return touched is not None and not touched.isdisjoint(data_source.files(message))

    def _read_again(self, message: Message) -> tuple[Message, tuple[str, ...]]:
        """The message with what its files hold now; itself where that is the same, or useless for reasons."""
        try:
            fresh = data_source.read_again(message, self._view.looks)
            if fresh is not message:
                self._view.compile(fresh)
        except COMPILE_ERRORS as error:
            return message, (str(error),)
        return fresh, ()
