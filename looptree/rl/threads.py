"""Threads: how many torch may use while a loop runs, and one more beside it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import torch

from looptree.core.callback import Callback


class TorchThreads(Callback):
    """Gives torch `threads` threads, and lets it take the tiniest numbers for zero, while its loop runs.

    Small networks learn faster on one thread than on several. The moments that Adam keeps of weights which
    get no gradient any more shrink until they are denormal numbers (below 1e-38), with which a processor
    calculates several times as slowly. Both settings are torch's own and global; they are put back when the
    run ends.
    """

    def __init__(self, threads: int = 1) -> None:
        self.threads = threads
        self._before: tuple[int, bool] | None = None

    def before_run(self) -> None:
        """Take note of torch's settings, and change them."""
        self._before = torch.get_num_threads(), _flushes_denormals()
        _set(self.threads, True)

    def finally_run(self) -> None:
        """Put torch's settings back."""
        if self._before is not None:
            _set(*self._before)
            self._before = None


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Gives torch one thread: what several add up, each a part of it, differs in the last bit with their number."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def thread_beside() -> ThreadPoolExecutor:
    """A thread of its own, in which torch has the settings that it has in this one."""
    return ThreadPoolExecutor(1, "looptree", _set, (torch.get_num_threads(), _flushes_denormals()))


def _set(threads: int, flushes_denormals: bool) -> None:
    torch.set_num_threads(threads)
    torch.set_flush_denormal(flushes_denormals)


def _flushes_denormals() -> bool:
    """Whether torch takes denormal numbers for zero; it has no function that says so."""
    return bool(torch.tensor(1e-39).mul(1.0) == 0)
