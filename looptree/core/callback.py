"""Callback: hooks that are plugged into a loop, and into the loops below it."""

from __future__ import annotations

from typing import Any, Self

from looptree.core.node import Node


class _Additions:
    """Numbers the additions of callbacks in this process, past those that arrived from other ones."""

    number = 0


class _CallbackFields(Node):
    """The base fields of a callback, as slots."""

    __slots__ = ("_added", "loop")

    loop: Any  # the Loop whose hook is running
    _added: int  # later additions have higher numbers, over all callbacks of the process


class Callback(_CallbackFields):
    """Hooks for any loop.

        class Clip(Callback):
            def before_step(self):
                clip(self.gradients, 10)  # read on the loop that the callback is attached to

    Its hooks on `run`, `pass` and `phase` belong to the loop that it is attached to; all others bind to every loop from
    there down that has the event. `self.loop` is the loop whose hook is running, `self.parent` the one attached to.
    A subclass may define `__init__` without calling `super().__init__()`.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        callback = super().__new__(cls)
        callback.loop = None
        callback._added = 0
        return callback

    def _attach(self, loop: Any) -> None:
        """Become a callback of `loop`, behind all that were added before."""
        self.parent = self.loop = loop
        self._added = _Additions.number = _Additions.number + 1

    def _leave(self) -> None:
        """Belong to no loop any more."""
        self.parent = self.loop = None

    def __getstate__(self) -> dict[str, Any]:
        return {"name": self.name, "_added": self._added, **self.__dict__}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)
        _Additions.number = max(_Additions.number, self._added)

    def __repr__(self) -> str:
        at = f" at {self.parent.path}" if self.parent is not None else ""
        return f"<{type(self).__name__} {self.name!r}{at}>"
