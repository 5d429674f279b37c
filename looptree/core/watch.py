"""Watcher: how a profiler or tracer rewrites the code of a loop while it watches."""

from __future__ import annotations

from typing import Protocol

from looptree.core.plan import LoopPlan, Step


class Watcher(Protocol):
    """Rewrites lines of the generated code of one loop and of those below it.

    The lines come without comments and with relative indentation (four spaces; `codegen.indented` moves them); those
    given back may use the names that `bound` returned. With several watchers the one attached last is the innermost.
    """

    def bound(self, plan: LoopPlan) -> dict[str, object]:
        """Told at each binding the plan of the watched loop; returns the names that the watcher's lines use."""

    def around_run(self, loop: LoopPlan, lines: list[str]) -> list[str]:
        """The body of a loop's function; `passes` is None there where a run begins, not where one goes on after a
        change."""

    def around_pass(self, loop: LoopPlan, lines: list[str]) -> list[str]:
        """The body of one pass."""

    def around_step(self, step: Step, lines: list[str]) -> list[str]:
        """The lines that run one hook or call one inner loop. Other watchers may ask for them, too."""

    def around_callable(self, step: Step, expression: str) -> str:
        """The expression by which a `failed_` or `finally_` step is handed over to be called; a function that wraps it
        has it as `__wrapped__`."""
