"""Meta-learning as two loops: the inner one adapts a network to a task, the outer one learns where to start from.

Reptile (Nichol, Achiam and Schulman 2018, algorithm 1) on sine waves (Finn, Abbeel and Levine 2017): a task is ten
points of a wave with an amplitude and a shift of its own. In train, the start moves a little towards the weights that
the inner loop arrived at, by a step size that a schedule lowers to 0. Now and then, valid adapts to a wave that is
always the same, and measures the loss between the ten points too. Both phases share the inner loop.
"""

import numpy as np

from looptree import Loop, Phase, Schedule
from looptree.callbacks import linear


class Reptile(Loop):
    """One pass adapts to one task."""

    phases = ("train", Phase("valid", every=500))

    start: list[np.ndarray]  # the weights that every task begins with
    weights: list[np.ndarray]  # those that are being adapted
    wave: tuple[float, float]  # amplitude and shift
    x: np.ndarray  # (points, 1)
    outer_step_size: float

    def __init__(self, times):
        super().__init__(Adapt, Schedule("outer_step_size", linear(1.0, 0.0, times)), times=times)

    def before_run(self):
        self.rng = np.random.default_rng(0)
        self.start = []
        for inputs, outputs in ((1, 32), (32, 32), (32, 1)):
            self.start += [self.rng.normal(0, inputs**-0.5, (inputs, outputs)), np.zeros(outputs)]

    def before_adapt(self):
        rng = np.random.default_rng(0) if self.phase == "valid" else self.rng
        self.wave = rng.uniform(0.1, 5), rng.uniform(0, np.pi)
        self.x = rng.uniform(-5, 5, (10, 1))
        self.weights = [weight.copy() for weight in self.start]

    def on_move(self, _phase="train"):
        for start, adapted in zip(self.start, self.weights, strict=True):
            start += self.outer_step_size * (adapted - start)

    def on_score(self, _phase="valid"):
        x = np.linspace(-5, 5, 101)[:, None]
        unadapted, adapted = (loss_and_gradients(weights, x, self.wave)[0] for weights in (self.start, self.weights))
        print(f"{self.count + 1:5} tasks: loss {unadapted:5.2f}, after {self.adapt.times} steps {adapted:.2f}")


class Adapt(Loop):
    """One pass is one step of gradient descent on the task."""

    call_on = "on_adapt"
    times = 10

    def on_step(self):
        _, gradients = loss_and_gradients(self.weights, self.x, self.wave)
        for weight, gradient in zip(self.weights, gradients, strict=True):
            weight -= 0.02 * gradient


def loss_and_gradients(weights, x, wave):
    """The squared error of two layers of tanh and a linear one, and its gradients by the weights."""
    w1, b1, w2, b2, w3, b3 = weights
    amplitude, shift = wave
    h1 = np.tanh(x @ w1 + b1)
    h2 = np.tanh(h1 @ w2 + b2)
    residuals = h2 @ w3 + b3 - amplitude * np.sin(x + shift)
    d3 = 2 * residuals / len(x)
    d2 = d3 @ w3.T * (1 - h2**2)
    d1 = d2 @ w2.T * (1 - h1**2)
    return np.mean(residuals**2), [x.T @ d1, d1.sum(0), h1.T @ d2, d2.sum(0), h2.T @ d3, d3.sum(0)]


if __name__ == "__main__":
    reptile = Reptile(times=5000)
    print(reptile)
    reptile.run()
    print(reptile.ended)
