"""What observers are given to observe."""

from __future__ import annotations

from looptree.core.errors import NotALoop
from looptree.core.loop import Loop


def given_loop(given: object, observer: str) -> Loop:
    """The loop that was given, if it is one.

    Raises:
        NotALoop: it is something else, a class of loops for instance.
    """
    if isinstance(given, Loop):
        return given
    if isinstance(given, type):
        raise NotALoop(
            f"{observer} takes a loop; given was the class {given.__name__}: {observer}({given.__name__}())."
        )
    raise NotALoop(f"{observer} takes a loop, as in {observer}(learner); given was {given!r}.")
