"""The loops whose generated code is kept in `golden/`: one tree for each thing that the code can contain."""

from looptree import Callback, Loop, Phase


class Counting(Loop):
    """The least that a loop can be."""

    def on_step(self):
        pass


class Batches(Loop):
    """An inner loop without phases of its own, over items of its own."""

    call_on = "on_batches"

    def items(self):
        return range(3)

    def before_batch(self):
        pass

    def on_batch(self):
        pass

    def after_batch(self, _phase="train"):
        pass


class Training(Loop):
    """Phases, an inner loop called in both, and a hook that only one phase has."""

    phases = ("train", Phase("valid", every=5))

    def on_batches(self):
        pass

    def on_report(self, _phase="valid"):
        pass


class Answer(Loop):
    """An inner loop of one pass."""

    call_on = "on_step"

    def on_think(self):
        pass

    def on_speak(self):
        pass

    def finally_run(self):
        pass


class Careful(Loop):
    """Every level has hooks for how it is left, and its phases are opened by hand."""

    phases = ("train",)

    def switch_phase(self, phase):
        super().switch_phase(phase)

    def before_run(self):
        pass

    def finally_run(self):
        pass

    def before_pass(self):
        pass

    def failed_pass(self):
        pass

    def before_phase(self):
        pass

    def finally_phase(self):
        pass

    def on_step(self):
        pass

    def failed_step(self):
        pass

    def finally_step(self):
        pass


class Clip(Callback):
    """Stands in one loop."""

    def before_batch(self, _order=1):
        pass


class Recorder(Callback):
    """Stands in several loops, now and then."""

    def after_batches(self, _every=2):
        pass

    def after_batch(self, _phase="train", _every=100):
        pass

    def finally_batch(self, _phase=("train", "valid")):
        pass

    def after_run(self):
        pass


class Other(Callback):
    """Runs instead of a hook of the loop, and on every third pass only."""

    def on_step(self, _replace=True, _every=3):
        pass


def counting():
    """One loop, one hook."""
    return Counting(times=3)


def training():
    """Phases, an inner loop, callbacks in one loop and in both."""
    return Training(times=10, inner_loops=Batches(cbs=Clip), cbs=Recorder)


def careful():
    """All levels with all their hooks."""
    return Careful()


def replaced():
    """A hook that is replaced on some passes."""
    return Counting(times=9, cbs=Other)


def asking():
    """A loop that serves each pass of another."""
    return Counting(times=3, inner_loops=Answer)


TREES = {"counting": counting, "asking": asking, "training": training, "careful": careful, "replaced": replaced}
