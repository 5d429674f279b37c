"""A program without the engine: its hooks called by the plainest loops that do the same when nothing happens.

What these leave out of the generated code is what the engine takes: counting passes, asking after stops and changes,
and catching what is raised.
"""

import functools
import itertools
from collections.abc import Callable

from looptree import Loop
from looptree.core.codegen import Writer, function_names, indented
from looptree.core.plan import EventPlan


class PlainWriter(Writer):
    """Writes a loop with nothing but its hooks in it."""

    def run(self) -> list[str]:
        """A pass for each item."""
        plan, frame = self.plan, self.plan.run
        at_most = plan.times if plan.own_items else None
        body = [
            *self.steps(frame.before),
            f"for {self.loop}.item in islice({self.loop}.items(), {at_most}):",
            *indented(self.one_pass()),
            *self.steps(frame.on),
            *self.steps(frame.after),
        ]
        return self.level(("run",), body, frame)

    def out_of_phases(self, with_phases: bool) -> list[str]:
        """Nothing: the phase is set where the next one begins."""
        return []

    def level(self, names: tuple[str, ...], body: list[str], frame: EventPlan) -> list[str]:
        """What a level does, and what is to be done in the end, without a `try`."""
        return [*body, *self.steps(frame.finally_)] or ["pass"]


def plain_functions(loop: Loop) -> dict[int, Callable[[], None]]:
    """For each loop of a tree, by id, what runs its passes."""
    names = function_names(loop.plan)
    functions: dict[int, Callable[[], None]] = {}
    for plan in loop.plan.walk():
        written = PlainWriter(plan, names, [], pulled=False).function()
        namespace = {"islice": itertools.islice}
        exec("\n".join(written.lines), namespace)
        functions[id(plan.target)] = functools.partial(namespace[written.name], *written.arguments)
    return functions
