"""A small loop, and runs of it to read and to report on."""

from pathlib import Path
from typing import Any

from looptree import Callback, Loop
from looptree.observe.runs import Recorder, Run


class Half(Callback):
    def after_step(self, _every: int = 3, _phase: str = "train") -> None:
        self.loop.rate /= 2


class Inner(Loop):
    call_on = "on_step"
    times = 2
    inside: int

    def on_work(self) -> None:
        self.inside = self.index + 10 * self.parent.count


class Training(Loop):
    loss: float
    rate: float
    note: str

    def __init__(self, times: int = 12, gain: float = 1.0) -> None:
        self.rate = 1.0
        self.loss = 0.0
        self.gain = gain
        self.note = "nothing yet"
        super().__init__(Inner(), Half(), times=times, phases=("train", "valid"))

    def before_pass(self) -> None:
        self.samples = 4 * (self.count + 1)

    def on_step(self, _phase: str = "train") -> None:
        self.loss = self.gain * (self.count + 1)

    def after_step(self, _every: int = 4) -> None:
        self.note = f"<b>{self.count}</b>"


def recorded(folder: Path, loop: Loop | None = None, settings: dict[str, Any] | None = None, **what: Any) -> Run:
    """A run of a loop, with its metrics and fields in the folder."""
    what = {"metrics": ("loss", "rate"), "over": "samples", "fields": ("rate", "note", "inside")} | what
    loop = loop or Training()
    with Recorder(loop, folder, settings=settings, **what):
        loop.run()
    return Run(folder)


def interrupted(folder: Path, inexact: tuple[str, ...] = ()) -> Run:
    """A run of 12 passes that was cut off after its 8th, and gone on with after the 7th, then after the 5th."""
    recorded(folder, loop := Training(times=8))
    for count, times, sentences in ((7, 2, ()), (5, 7, inexact)):
        loop.count = count
        with Recorder.resume(loop, folder, inexact=sentences):
            loop.run(times)
    return Run(folder)
