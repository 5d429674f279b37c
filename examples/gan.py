"""A GAN as two players in one loop, and a trace that shows that each changes its own network only.

The generator turns noise into numbers, which should become those of a normal distribution with mean 4 and standard
deviation 1.25 (Goodfellow et al. 2014, with the generator's loss that does not saturate). Each player is a loop with
the events of a gradient step; what they have in common stands in their base class, and only their losses differ.
"""

import torch
from torch import nn
from torch.nn.functional import softplus

from looptree import Loop, Trace


class GAN(Loop):
    """One pass is a batch for the discriminator, then one for the generator."""

    def __init__(self, times):
        self.generator = nn.Linear(1, 1)
        self.discriminator = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 1))
        super().__init__([Discriminate(self.discriminator), Generate(self.generator)], times=times)

    def on_play(self):
        """The players take their steps here, one after the other."""

    def after_play(self, _every=200):
        fake = self.generated(10_000).detach()
        print(f"{self.count + 1:5} passes: mean {fake.mean():.2f}, standard deviation {fake.std():.2f}")

    def generated(self, size):
        return self.generator(torch.randn(size, 1))


class Player(Loop):
    """A gradient step on a loss that a subclass gives."""

    call_on = "on_play"

    loss: torch.Tensor

    def __init__(self, network):
        self.optimizer = torch.optim.Adam(network.parameters(), lr=0.01, betas=(0.5, 0.9))
        super().__init__()

    def on_step(self):
        self.optimizer.zero_grad()
        self.loss.backward()
        self.optimizer.step()


class Discriminate(Player):
    """Tells real numbers (high outputs) from generated ones (low outputs)."""

    def before_step(self):
        real = 4 + 1.25 * torch.randn(256, 1)
        fake = self.gan.generated(256).detach()
        self.loss = softplus(-self.discriminator(real)).mean() + softplus(self.discriminator(fake)).mean()


class Generate(Player):
    """Makes numbers that the discriminator takes for real ones."""

    def before_step(self):
        self.loss = softplus(-self.discriminator(self.gan.generated(256))).mean()


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.manual_seed(0)
    gan = GAN(times=600)
    print(gan)
    with Trace(gan, "generator", "discriminator") as trace:
        gan.run()
    print("generator changed by", trace.writers("generator"))
    print("discriminator changed by", trace.writers("discriminator"))
