"""Bound: a tree of loops with its plans, its generated functions, and the compiled text of them all."""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator, Iterable
from typing import Any

from looptree.core import runtime
from looptree.core.binding import Binding
from looptree.core.codegen import HELPERS, Function, Line, function_names, line, write
from looptree.core.compiled import Compiled
from looptree.core.node import ancestry
from looptree.core.plan import LoopPlan
from looptree.core.signals import Cancel

_RUNTIME = {name: Cancel if name == "Cancel" else getattr(runtime, name) for name in HELPERS}


class Bound:
    """A bound tree: its plans, its generated functions, and the compiled text of them all."""

    def __init__(self, binding: Binding, shape: tuple[object, ...]) -> None:
        assert binding.plan is not None
        self.plans = binding.plans
        self.shape = shape
        self.bound_loops = binding.bound_loops
        self.names = function_names(binding.plan)
        self.globals: dict[str, object] = dict(_RUNTIME)
        for plan in binding.plan.walk():
            for watcher in plan.target._watchers:
                self.globals |= watcher.bound(plan)
        self.functions = {id(plan.target): self.written(plan) for plan in binding.plan.walk()}
        loops = {self.names[id(plan.target)]: plan.target for plan in binding.plan.walk()}
        self.compiled = Compiled(binding.plan.name, _joined(self.functions.values()), self.globals, loops)

    def written(self, plan: LoopPlan, pulled: bool = False) -> Function:
        """The function of one loop, as all watchers from the root down to it have it."""
        above = list(ancestry(plan.target))[::-1]
        watchers = [watcher for node in above for watcher in node._watchers]
        return write(plan, self.names, watchers, pulled)

    def attach(self) -> None:
        """Give every loop its function, and every callback that serves one loop that loop."""
        for plan in self.plans.values():
            function = self.functions[id(plan.target)]
            plan.target._go = functools.partial(self.compiled.function(function.name), *function.arguments)
            for callback in plan.callbacks:
                loops = self.bound_loops[id(callback.target)]
                callback.target.loop = loops[0] if len(loops) == 1 else plan.target

    def lines(self, loop: Any) -> list[Line]:
        """The functions of a loop and of those below."""
        return _joined(self.functions[id(plan.target)] for plan in self.plans[id(loop)].walk())

    def pulled(self, loop: Any) -> Callable[..., Generator[Any, None, None]]:
        """The generator of a loop that is pulled."""
        function = self.written(self.plans[id(loop)], pulled=True)
        compiled = Compiled(f"{loop.name} pulled", function.lines, self.globals, {function.name: loop})
        return functools.partial(compiled.function(function.name), *function.arguments)


def _joined(functions: Iterable[Function]) -> list[Line]:
    """The lines of several functions, two empty ones between."""
    lines: list[Line] = []
    for function in functions:
        lines += [line(""), line("")] if lines else []
        lines += function.lines
    return lines
