"""A field read and written in a hook, beside a plain class, and a read that goes on to the parent."""

from collections.abc import Callable, Iterator
from typing import Any

from measure import WARM_UP, Contender, Effort, take_turns, timed
from table import Row

from looptree import Callback, Loop

TIMES = 100
"""How often a hook repeats the statement that is timed, so that calling the hook weighs little."""


class PlainOwner:
    def __init__(self):
        self.field = 1


class LoopOwner(Loop):
    def __init__(self, **options):
        super().__init__(**options)
        self.field = 1


def hook(statement: str) -> Callable[[Any], None]:
    """A hook that only repeats a statement; each one is code of its own, for CPython to specialise."""
    scope: dict[str, Callable[[Any], None]] = {}
    exec("def on_batch(self):\n" + f"    {statement}\n" * TIMES, scope)
    return scope["on_batch"]


def with_hook(base: type, statement: str) -> type:
    return type(f"{base.__name__}Hooked", (base,), {"on_batch": hook(statement)})


def calls(owner: Callable[[], Any]) -> Contender:
    """The hook of an object, called and called again."""

    def loop(on_batch: Callable[[], None], passes: int) -> None:
        for _ in range(passes):
            on_batch()

    def run(passes: int) -> int:
        on_batch = owner().on_batch
        loop(on_batch, WARM_UP)
        return timed(loop, on_batch, passes)

    return run


def rows(effort: Effort) -> Iterator[Row]:
    """Nanoseconds of one read or write."""
    contenders = {}
    for name, statement in {"read": "value = self.field", "written": "self.field = 1"}.items():
        contenders[f"plain {name}"] = calls(with_hook(PlainOwner, statement))
        looped = with_hook(LoopOwner, statement)
        contenders[f"loop {name}"] = calls(lambda looped=looped: looped().run())

    reader, owner = with_hook(Callback, "value = self.field"), with_hook(LoopOwner, "pass")
    contenders["delegated"] = calls(lambda: owner(cbs=[reader]).run().cbs[0])

    turns = take_turns(contenders, effort)
    for name in ("read", "written"):
        figures = {"ns": turns.ns(f"loop {name}") / TIMES, "times": turns.ratio(f"loop {name}", f"plain {name}")}
        yield Row(f"a field {name} in a hook", figures, "times", 1.1)
    yield Row("a read that goes on to the parent", {"ns": turns.ns("delegated") / TIMES}, "ns", 250)
