"""TorchThreads: how many threads torch may use while a loop runs."""

from __future__ import annotations

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
        torch.set_num_threads(self.threads)
        torch.set_flush_denormal(True)

    def finally_run(self) -> None:
        """Put torch's settings back."""
        if self._before is not None:
            threads, flushes = self._before
            torch.set_num_threads(threads)
            torch.set_flush_denormal(flushes)
            self._before = None


def _flushes_denormals() -> bool:
    """Whether torch takes denormal numbers for zero; it has no function that says so."""
    return bool(torch.tensor(1e-39).mul(1.0) == 0)
