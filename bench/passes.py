"""A pass of a loop: looptree's, watched and not, and the peers', beside the loop written by hand."""

import importlib
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

from by_hand import PlainCounter, PlainFit, by_hand
from measure import WARM_UP, Contender, Effort, take_turns, timed
from table import Row

from looptree import Callback, Loop, Profile, Trace

PEERS = {
    "with_pluggy": "pluggy",
    "with_ignite": "Ignite",
    "with_torchtnt": "TorchTNT",
    "with_fastai": "fastai",
    "with_lightning": "Lightning",
}


class Fit(Loop):
    def __init__(self, **options):
        super().__init__(**options)
        self.batches = 0

    def on_batch(self):
        self.batches += 1


class Counter(Callback):
    def __init__(self):
        self.seen = 0

    def before_batch(self):
        self.seen += 1

    def after_batch(self):
        self.seen += 1


def fit_with(callbacks: int) -> Fit:
    return Fit(cbs=[Counter() for _ in range(callbacks)])


def looptree(callbacks: int) -> Contender:
    """The loop with so many callbacks, and nothing watching."""

    def run(passes: int) -> int:
        return timed(fit_with(callbacks).run(WARM_UP).run, passes)

    return run


def watched(watch: Callable[[Fit], AbstractContextManager[object]]) -> Contender:
    """The loop with three callbacks, being watched."""

    def run(passes: int) -> int:
        fit = fit_with(3)
        with watch(fit):
            return timed(fit.run(WARM_UP).run, passes)

    return run


def peer(module: str) -> Contender | None:
    """A peer's loop with three callbacks, or None where it is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = importlib.import_module(f"peers.{module}")
    except ModuleNotFoundError:
        return None
    return found.contender(PlainFit(), [PlainCounter() for _ in range(3)])


@dataclass(frozen=True)
class Entry:
    """A loop to be timed beside the hand-written one that has as many callbacks."""

    contender: Contender
    callbacks: int = 3
    bounded: str | None = None
    at_most: float = 0.0


def entries() -> dict[str, Entry]:
    """The loops that are compared, peers aside."""
    return {
        "by hand, 0 callbacks": Entry(by_hand(0), 0),
        "by hand, 3 callbacks": Entry(by_hand(3)),
        "by hand, 10 callbacks": Entry(by_hand(10), 10),
        "looptree, 0 callbacks": Entry(looptree(0), 0, "more_ns", 150),
        "looptree, 3 callbacks": Entry(looptree(3), 3, "times", 1.20),
        "looptree, 10 callbacks": Entry(looptree(10), 10, "times", 1.10),
        "looptree, 3, Profile": Entry(watched(Profile), 3, "times", 4),
        "looptree, 3, Trace of one field": Entry(watched(lambda fit: Trace(fit, "batches")), 3, "times", 8),
        "looptree, 3, Trace of all fields": Entry(watched(Trace)),
    }


def rows(effort: Effort, with_peers: bool) -> Iterator[Row]:
    """Nanoseconds a pass of every loop, and its ratio to the hand-written one; absent peers are named."""
    compared, absent = entries(), []
    for module, name in PEERS.items() if with_peers else ():
        contender = peer(module)
        if contender is None:
            absent.append(name)
        else:
            compared[f"{name}, 3 callbacks"] = Entry(contender)
    turns = take_turns({name: entry.contender for name, entry in compared.items()}, effort)
    for name, entry in compared.items():
        base = f"by hand, {entry.callbacks} callbacks"
        figures = {"ns": turns.ns(name), "times": turns.ratio(name, base)}
        if entry.callbacks == 0:
            figures["more_ns"] = turns.ns(name) - turns.ns(base)
        yield Row(name, figures, entry.bounded, entry.at_most)
    for name in absent:
        yield Row(f"{name}: not installed", {})
