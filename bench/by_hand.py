"""The loop that looptree has to match: plain classes, the calls typed out, and only ``item`` kept."""

from measure import WARM_UP, Contender, timed


class PlainFit:
    def __init__(self) -> None:
        self.batches = 0

    def on_batch(self) -> None:
        self.batches += 1


class PlainCounter:
    def __init__(self) -> None:
        self.seen = 0

    def before_batch(self) -> None:
        self.seen += 1

    def after_batch(self) -> None:
        self.seen += 1


def fit_0(fit, passes):
    for fit.item in range(passes):
        fit.on_batch()


def fit_3(fit, a, b, c, passes):
    for fit.item in range(passes):
        a.before_batch()
        b.before_batch()
        c.before_batch()
        fit.on_batch()
        a.after_batch()
        b.after_batch()
        c.after_batch()


def fit_10(fit, a, b, c, d, e, f, g, h, i, j, passes):
    for fit.item in range(passes):
        a.before_batch()
        b.before_batch()
        c.before_batch()
        d.before_batch()
        e.before_batch()
        f.before_batch()
        g.before_batch()
        h.before_batch()
        i.before_batch()
        j.before_batch()
        fit.on_batch()
        a.after_batch()
        b.after_batch()
        c.after_batch()
        d.after_batch()
        e.after_batch()
        f.after_batch()
        g.after_batch()
        h.after_batch()
        i.after_batch()
        j.after_batch()


def by_hand(callbacks: int) -> Contender:
    """The hand-written loop with 0, 3 or 10 callbacks."""
    loop = {0: fit_0, 3: fit_3, 10: fit_10}[callbacks]

    def run(passes: int) -> int:
        fit, counters = PlainFit(), [PlainCounter() for _ in range(callbacks)]
        loop(fit, *counters, WARM_UP)
        return timed(loop, fit, *counters, passes)

    return run
