"""Describe: what a loop will do, read from its plan: as text, as HTML for notebooks, as Mermaid and as JSON."""

from __future__ import annotations

from looptree.core.loop import Loop
from looptree.core.plan import LoopPlan
from looptree.core.tree import tree
from looptree.core.tree_html import tree_html
from looptree.observe.describe_json import json_text
from looptree.observe.given import given_loop
from looptree.observe.mermaid import flowchart


class Description:
    """A loop described. It prints as the tree, and shows as a tree that folds in a notebook.

    It says what was so when it was made; after a change of the loop, describe the loop again.

    Attributes:
        plan: what it is read from.
    """

    def __init__(self, plan: LoopPlan, fields: bool) -> None:
        self.plan = plan
        self._fields = fields

    def __str__(self) -> str:
        return tree(self.plan, self._fields)

    __repr__ = __str__

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/plain": str(self), "text/html": tree_html(self.plan)}

    def mermaid(self) -> str:
        """The tree as a Mermaid flowchart, for Markdown."""
        return flowchart(self.plan)

    def json(self) -> str:
        """The whole plan as JSON: loops with their phases, events, hooks and inner loops, callbacks and fields."""
        return json_text(self.plan)


def describe(loop: Loop, fields: bool = False) -> Description:
    """Describe a loop and all below it, without running anything: what runs, in which order, from which line.

        print(describe(learner))

    Args:
        fields: also tell, below each hook, what it reads and writes (HTML and JSON tell it always).

    Raises:
        NotALoop: something else was given, a class of loops for instance.
        BindingError: the tree cannot run as it is.
    """
    return Description(given_loop(loop, "describe").plan, fields)
