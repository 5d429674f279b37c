"""GracefulInterrupt: the first Ctrl-C or SIGTERM ends the run at the end of a pass, the second one at once."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

from looptree.core.callback import Callback

_NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}


class GracefulInterrupt(Callback):
    """Lets a run end well that is interrupted by Ctrl-C, or by SIGTERM, which asks a process to end when a job is
    cancelled or a machine goes down: `after_` and `finally_` hooks run, and `run()` returns.

        learner = Learner(cbs=GracefulInterrupt())
        learner.run()
        learner.ended  # stopped by GracefulInterrupt: Ctrl-C

    The first of the two signals stops the whole tree: the inner loops that run end with their pass, and so do those
    around them. A second one ends the program wherever it is: Ctrl-C raises `KeyboardInterrupt`, SIGTERM `SystemExit`
    with status 143. When the run ends, however it ends, both do again what they did before. Only the main thread hears
    of signals; a run in another thread is left alone.

    `heard` is the signal that stopped the last run, or None.
    """

    heard: signal.Signals | None

    def __init__(self) -> None:
        self.heard = None
        self._previous: dict[signal.Signals, Any] = {}

    @property
    def interrupted(self) -> bool:
        """Whether the last run was interrupted."""
        return self.heard is not None

    @property
    def status(self) -> int:
        """The status with which a program exits by convention after the last run: 0, 130 after Ctrl-C, 143 after
        SIGTERM."""
        return 0 if self.heard is None else 128 + self.heard

    def before_run(self) -> None:
        """Take over both signals."""
        self.heard = None
        if threading.current_thread() is threading.main_thread():
            for number in _NAMES:
                previous = signal.signal(number, self._hear)
                # None stands for one that was set by other means than Python's, and can only be set so again.
                self._previous[number] = signal.SIG_DFL if previous is None else previous

    def finally_run(self) -> None:
        """Give them back."""
        while self._previous:
            signal.signal(*self._previous.popitem())

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.heard is not None:
            raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)
        self.heard = signal.Signals(number)
        self.loop.root.stop(_NAMES[self.heard], by=type(self).__name__)
