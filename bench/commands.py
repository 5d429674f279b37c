"""Commands: `looptree` in processes that are quick to start, for whoever starts hundreds of them.

What takes seconds is loading torch. This process loads everything once; each command is a copy of it (`os.fork`) that
then carries out its command line as the program itself does, and can be killed like any other.
"""

import contextlib
import importlib
import os
import signal
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch

from looptree.cli.main import main

ENV_ID = "CartPole-v1"


def get_ready(algorithms: Iterable[str]) -> None:
    """Load all that training with some algorithms needs; nothing is trained, so that there are no threads, which a copy
    of the process would not have."""
    torch.set_num_threads(1)
    importlib.import_module("looptree.observe.report.drawn")
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        for algorithm in algorithms:
            main(["describe", algorithm, ENV_ID])


class Command:
    """A command line that is carried out in a process of its own, whose output goes into a file."""

    def __init__(self, words: Sequence[object], output: Path) -> None:
        self.pid = os.fork()
        if not self.pid:
            os._exit(_carried_out([str(word) for word in words], output))

    def kill(self, after_s: float) -> bool:
        """Send SIGKILL after a while; whether the command was still under way."""
        time.sleep(after_s)
        os.kill(self.pid, signal.SIGKILL)
        return self.wait() == -signal.SIGKILL

    def wait(self) -> int:
        """The exit status, or the number of the signal that ended it, below 0."""
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def _carried_out(words: list[str], output: Path) -> int:
    """The exit status; nothing of the process that this one is a copy of is to be done here."""
    with output.open("w") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
        return main(words)
