"""The losses of PPO and A2C with a graph behind them, to compare with."""

import torch

from looptree import Callback


def plain_loss(learner, minibatch, clipped=True):
    """Minus the objective of equation 9, or with the plain policy gradient in place of the clipped one."""
    batch, policy = minibatch.batch, learner.network.policy
    outputs, values = learner.network(batch.observation)
    log_prob, entropy = policy.log_prob(outputs, batch.action), policy.entropy(outputs)
    ratio, advantages = (log_prob - batch.log_prob).exp(), minibatch.advantages
    low, high = 1 - learner.clip_range, 1 + learner.clip_range
    gains = torch.minimum(ratio * advantages, ratio.clip(low, high) * advantages) if clipped else log_prob * advantages
    near = batch.value + (values - batch.value).clip(-learner.value_clip_range, learner.value_clip_range)
    errors = torch.maximum((values - batch.target) ** 2, (near - batch.target) ** 2)
    return (learner.value_coefficient * errors - gains - learner.entropy_coefficient * entropy).mean()


class AutogradLoss(Callback):
    """That loss in place of the algorithm's own."""

    def on_loss(self, _replace=True):
        self.learner.loss = plain_loss(self.learner, self.loop)


class CompareGradients(Callback):
    """Compares the loss of each minibatch, and the gradient that its step goes down, with those of that loss."""

    def __init__(self, clipped=True):
        self.clipped = clipped
        self.compared = 0

    def before_step(self):
        loss = plain_loss(self.learner, self.loop, self.clipped)
        torch.testing.assert_close(self.learner.loss, loss.detach(), rtol=1e-4, atol=1e-5)
        self.expected = torch.cat([part.flatten() for part in torch.autograd.grad(loss, self.learner.flat.parameters)])

    def after_step(self):
        torch.testing.assert_close(self.learner.flat.vector.grad, self.expected, rtol=1e-3, atol=1e-5)
        self.compared += 1
