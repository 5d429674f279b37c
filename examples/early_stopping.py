"""Early stopping and a schedule on a loop of one's own, in the standard library alone.

A polynomial of degree 9 is fitted to 12 noisy points, step by step. At first the valid loss goes down with the train
loss; then the polynomial begins to learn the noise. `EarlyStop` ends the run there, and says why; `Schedule` lowers
the learning rate on the way. Both are told the fields that they look at and set by name.
"""

import math
import random

from looptree import EarlyStop, Loop, Phase, Schedule
from looptree.callbacks import cosine

DEGREE = 9


class Fit(Loop):
    """One pass is one step of gradient descent on all training points; every 20th measures the valid loss."""

    phases = ("train", Phase("valid", every=20))

    learning_rate: float
    train_loss: float
    valid_loss: float

    def before_run(self):
        rng = random.Random(8)
        xs = [rng.uniform(-1, 1) for _ in range(40)]
        points = [(x, math.sin(3 * x) + rng.gauss(0, 0.4)) for x in xs]
        self.train, self.valid = points[:12], points[12:]
        self.weights = [0.0] * (DEGREE + 1)

    def on_step(self, _phase="train"):
        residuals = [self.residual(x, y) for x, y in self.train]
        self.train_loss = sum(residual**2 for residual in residuals) / len(residuals)
        for power in range(DEGREE + 1):
            slope = sum(residual * x**power for residual, (x, _) in zip(residuals, self.train, strict=True))
            self.weights[power] -= self.learning_rate * slope / len(residuals)

    def on_measure(self, _phase="valid"):
        self.valid_loss = sum(self.residual(x, y) ** 2 for x, y in self.valid) / len(self.valid)

    def after_measure(self, _phase="valid", _every=40):
        print(f"{self.count + 1:5} steps: train loss {self.train_loss:.3f}, valid loss {self.valid_loss:.3f}")

    def residual(self, x, y):
        return sum(weight * x**power for power, weight in enumerate(self.weights)) - y


if __name__ == "__main__":
    stop = EarlyStop("valid_loss", patience=5, phase="valid")
    fit = Fit(times=1000, cbs=[stop, Schedule("learning_rate", cosine(1.0, 0.0, 1000))])
    print(fit)
    fit.run()
    print(f"{fit.count} of {fit.times} steps, {fit.ended}")
