"""Latest: a run as it is now, drawn as seldom as watching allows, for whoever watches a training is not to slow it."""

from __future__ import annotations

import math
import threading
import time

from looptree.observe.report.drawn import Drawing, one_run
from looptree.observe.runs import NotARun, Run

_EVERY_S = 2.0
_SHARE = 0.05  # of one core, for drawing


class Latest:
    """The newest drawing of a run, for all who ask.

    Nobody waits for it but the first: where one is due, it is made in a thread while the one before is shown. It is due
    every two seconds, and where drawing takes longer, as often as a twentieth of a core's time allows.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._drawn: Drawing | NotARun
        self._due_s: float  # by time.monotonic
        self._draw()

    def drawing(self) -> Drawing:
        """The newest drawing that there is.

        Raises:
            NotARun: what is in the folder of the run cannot be read any more.
        """
        if time.monotonic() >= self._due_s:
            self._due_s = math.inf  # until this one is made
            threading.Thread(target=self._draw, name=f"drawing of {self._run.folder}", daemon=True).start()
        if isinstance(self._drawn, NotARun):
            raise self._drawn
        return self._drawn

    def _draw(self) -> None:
        began_s = time.thread_time()
        try:
            self._drawn = one_run(self._run)
        except NotARun as error:
            self._drawn = error
        finally:  # whatever went wrong, the next who asks has it tried again
            took_s = time.thread_time() - began_s
            self._due_s = time.monotonic() + max(_EVERY_S, took_s / _SHARE)
