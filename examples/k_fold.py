"""K-fold cross-validation as three loops: folds > epochs > batches.

Which ridge penalty suits a straight line through noisy points? Every fold holds out a fifth of the points, fits the
line to the others by gradient descent, and measures its error on what it held out. Each loop has the state of its own
level: the folds the scores, the epochs the line, the batches nothing but the gradient.
"""

import random
import statistics

from looptree import Loop, Phase


class Folds(Loop):
    """One pass fits and scores one fold."""

    scores: list[float]
    train: list[tuple[float, float]]
    held_out: list[tuple[float, float]]

    def __init__(self, points, penalty, times=5):
        self.points = points
        self.penalty = penalty
        super().__init__(Epochs, times=times)

    def before_run(self):
        self.scores = []

    def before_epochs(self):
        self.held_out = self.points[self.item :: self.times]
        self.train = [point for point in self.points if point not in self.held_out]

    def after_epochs(self):
        self.scores.append(self.epochs.loss)


class Epochs(Loop):
    """One pass goes over the training points once, and every tenth over those held out."""

    call_on = "on_epochs"
    times = 30
    phases = ("train", Phase("valid", every=10))

    slope: float
    offset: float
    loss: float

    def __init__(self):
        super().__init__(Batches)

    def before_run(self):
        self.slope = self.offset = 0.0

    def before_batches(self, _phase="valid"):
        self.loss = 0.0


class Batches(Loop):
    """One pass is one step on a batch of ten points in train, and the error of one in valid."""

    call_on = "on_batches"

    def items(self):
        points = self.train if self.phase == "train" else self.held_out
        return (points[start : start + 10] for start in range(0, len(points), 10))

    def before_step(self):
        """How far off the line is."""
        self.residuals = [self.slope * x + self.offset - y for x, y in self.item]

    def on_step(self, _phase="train"):
        gradient = statistics.fmean(error * x for error, (x, _) in zip(self.residuals, self.item, strict=True))
        self.epochs.slope -= 0.1 * (gradient + self.penalty * self.slope)
        self.epochs.offset -= 0.1 * statistics.fmean(self.residuals)

    def after_step(self, _phase="valid"):
        self.epochs.loss += sum(error**2 for error in self.residuals) / len(self.held_out)


if __name__ == "__main__":
    rng = random.Random(0)
    xs = [rng.uniform(-2, 2) for _ in range(100)]
    points = [(x, 3 * x + 1 + rng.gauss(0, 0.5)) for x in xs]
    print(Folds(points, penalty=0.0))
    for penalty in (0.0, 0.1, 1.0):
        folds = Folds(points, penalty).run()
        print(f"penalty {penalty}: loss {statistics.fmean(folds.scores):.3f} ({folds.ended})")
