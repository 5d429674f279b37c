"""GracefulInterrupt: the first Ctrl-C ends the run at the end of a pass, the second one at once."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

from looptree.core.callback import Callback


class GracefulInterrupt(Callback):
    """Lets a run that is interrupted by Ctrl-C end well: `after_` and `finally_` hooks run, and `run()` returns.

        learner = Learner(cbs=GracefulInterrupt())
        learner.run()
        learner.ended  # stopped by GracefulInterrupt: Ctrl-C

    The first Ctrl-C stops the whole tree: the inner loops that run end with their pass, and so do those around them. A
    second one raises `KeyboardInterrupt` wherever the program is. When the run ends, however it ends, Ctrl-C does again
    what it did before. Only the main thread hears of Ctrl-C; a run in another thread is left alone.

    `interrupted` says whether the last run was interrupted.
    """

    def __init__(self) -> None:
        self.interrupted = False
        self._previous: Any = None

    def before_run(self) -> None:
        """Take over Ctrl-C."""
        self.interrupted = False
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.getsignal(signal.SIGINT)
            signal.signal(signal.SIGINT, self._hear)

    def finally_run(self) -> None:
        """Give Ctrl-C back."""
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)
            self._previous = None

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.interrupted:
            raise KeyboardInterrupt
        self.interrupted = True
        self.loop.root.stop("Ctrl-C", by=type(self).__name__)
