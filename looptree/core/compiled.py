"""Compiled: generated text that runs, that tracebacks and pdb can show, and that is dropped with its loop."""

from __future__ import annotations

import itertools
import linecache
import weakref
from collections.abc import Callable, Mapping
from types import CodeType
from typing import Any

from looptree.core.codegen import Line
from looptree.core.plan import HookPlan

_SERIAL = itertools.count(1)
_ALIVE: weakref.WeakValueDictionary[str, Compiled] = weakref.WeakValueDictionary()


class Compiled:
    """One generated text: its functions by name, the step that stands on each line, the loop that each function is of.

    The functions' globals hold it, so that text and lines stay as long as any of the functions may run.
    """

    def __init__(self, name: str, lines: list[Line], names: Mapping[str, object], loops: Mapping[str, Any]) -> None:
        self.filename = f"<looptree {name} {next(_SERIAL)}>"
        self.text = "\n".join(lines) + "\n"
        self._lines = lines
        self._loops = {function: weakref.ref(loop) for function, loop in loops.items()}
        self._namespace: dict[str, Any] = {
            "__name__": f"looptree.generated.{name}",
            "__compiled__": self,
            **names,
        }
        exec(compile(self.text, self.filename, "exec"), self._namespace)
        shown = (len(self.text), None, self.text.splitlines(keepends=True), self.filename)
        linecache.cache[self.filename] = shown  # without a time stamp: nothing on the disk to compare with
        weakref.finalize(self, linecache.cache.pop, self.filename, None)
        _ALIVE[self.filename] = self

    def function(self, name: str) -> Callable[..., Any]:
        """A generated function."""
        found: Callable[..., Any] = self._namespace[name]
        return found

    def event_at(self, line: int) -> str | None:
        """The event that a line is about: that of the hook or inner loop on it, or of the level that ends there."""
        return self._lines[line - 1].event

    def label_at(self, line: int) -> str:
        """The hook on a line as `Class.hook`, or the path of the inner loop that is called there; else nothing."""
        step = self._lines[line - 1].step
        return step.label if isinstance(step, HookPlan) else step.loop if step is not None else ""

    def loop_of(self, function: str) -> Any:
        """The loop that a function is the passes of; None when it is gone."""
        reference = self._loops.get(function)
        return reference() if reference is not None else None


def generated(code: CodeType) -> Compiled | None:
    """The generated text that a code object belongs to; None for any other code."""
    return _ALIVE.get(code.co_filename)
