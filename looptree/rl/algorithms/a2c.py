"""A2C: advantage actor-critic, the synchronous form of A3C.

Mnih, V. et al., Asynchronous Methods for Deep Reinforcement Learning, ICML (2016), section 4. It is PPO with
other settings and one other hook (Huang, S. et al., A2C is a special case of PPO, arXiv:2205.09123, 2022): a
short rollout is gone over once, as one minibatch, with the plain policy gradient and RMSprop.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from looptree.core.arguments import several
from looptree.core.callback import Callback
from looptree.rl.agent import Callbacks
from looptree.rl.algorithms.ppo import PPO, PPOSettings, check_shared
from looptree.rl.environments import Vectorization
from looptree.rl.optimizers import Optimizer
from looptree.rl.presets import PRESETS
from looptree.rl.workers import MAX_RESTARTS, STEP_TIMEOUT_S


@dataclass(frozen=True)
class A2CSettings:
    """The settings of an A2C run; where Stable-Baselines3 has another name for one, it stands in brackets."""

    total_env_steps: int = 100_000
    """Steps of single environments in the whole run."""
    num_envs: int = 1
    """Environments that are stepped side by side [n_envs]."""
    vectorization: Vectorization = "auto"
    """How they stand side by side: by the environment's own vector class, in turn, each in its own process, or in
    EnvPool."""
    wrappers: tuple[str, ...] = ()
    """What each of them wears, the innermost first: TimeAwareObservation, "FrameStackObservation(stack_size=4)"."""
    step_timeout_s: float = STEP_TIMEOUT_S
    """Seconds after which an environment in a process of its own counts as hung and is begun anew; inf: never."""
    max_restarts: int = MAX_RESTARTS
    """Times that environments in processes of their own are begun anew before the run fails."""
    steps_per_rollout: int = 5
    """Steps of each environment between two updates [n_steps]."""
    hidden_sizes: tuple[int, ...] = (64, 64)
    """Units of each hidden layer of the actor and of the critic [net_arch]."""
    initial_log_std: float = 0.0
    """Logarithm of the standard deviation that actions in a Box begin with, in halves of the way between its
    bounds [log_std_init]."""
    learning_rate: float = 7e-4
    """Step size of RMSprop at the beginning."""
    anneal_learning_rate: bool = False
    """Whether the step size goes down in a straight line, to 0 at the end of the run."""
    normalise_advantages: bool = False
    """Whether each rollout's advantages are brought to mean 0 and standard deviation 1."""
    entropy_coefficient: float = 0.0
    """Weight of the policy's entropy in the objective [ent_coef]."""
    value_coefficient: float = 0.5
    """Weight of the critic's mean squared error in the loss [vf_coef]."""
    max_gradient_norm: float = 0.5
    """The gradient is scaled down to this length where it is longer [max_grad_norm]."""
    gamma: float = 0.99
    """Discount of the next step's value."""
    gae_lambda: float = 1.0
    """Weight of each later error in the advantage, against the one before it."""
    normalise_observations: bool = False
    """Whether the network sees observations in running standard deviations from their running mean."""
    normalise_rewards: bool = False
    """Whether rewards are divided by the running standard deviation of their discounted sums."""
    evaluate_every_env_steps: int = 10_000
    """Env steps between two evaluations, rounded down to whole rollouts, but at least one."""
    evaluation_episodes: int = 20
    """Episodes of one evaluation, played side by side."""

    def __post_init__(self) -> None:
        """Raises `BadSetting` for a setting that cannot be."""
        check_shared(self)

    def as_ppo(self) -> PPOSettings:
        """The same run as one of PPO: each rollout is gone over once, all of it at a time, without clipping."""
        shared = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        batch_size = self.num_envs * self.steps_per_rollout
        return PPOSettings(**shared, epochs=1, batch_size=batch_size, clip_range=math.inf)


# The objective: the policy gradient theorem, with the advantage in place of the return.


def policy_gradient_objective(log_prob: Tensor, advantages: Tensor) -> tuple[Tensor, Tensor]:
    """The mean `()` of A log p, whose gradient is that of the expected return, and its slopes at log p; both are
    `(batch,)`."""
    slopes = advantages / len(advantages)
    return log_prob.dot(slopes), slopes


class PolicyGradient(Callback):
    """The loss of A2C, in place of PPO's."""

    if TYPE_CHECKING:  # read on the loops above
        learner: PPO

    def on_loss(self, _replace: bool = True) -> None:
        """Ask actor and critic again, now for a gradient."""
        minibatch: Any = self.loop
        minibatch.ask()
        self.learner.loss = minibatch.loss_of(*policy_gradient_objective(minibatch.log_prob, minibatch.advantages))


class A2C(PPO):
    """Advantage actor-critic.

        A2C("CartPole-v1", seed=1).run()

    A pass collects a few steps of each environment, and makes one gradient step on them. Actions and observations are
    of the kinds that `PPO` takes.
    """

    def __init__(
        self,
        env_id: str,
        settings: A2CSettings | None = None,
        cbs: Callbacks | None = None,
        *,
        seed: int = 0,
        name: str | None = None,
    ) -> None:
        """Without settings, those of the preset for `env_id` hold, or else the defaults.

        Raises what `PPO` does.
        """
        settings = PRESETS.unless_given(settings, "a2c", env_id, A2CSettings)
        plugged = [PolicyGradient(), *several(cbs)]
        super().__init__(env_id, settings.as_ppo(), plugged, seed=seed, name=name)
        self.settings = settings

    def new_optimizer(self, vector: nn.Parameter, learning_rate: float) -> Optimizer:
        """What steps down the gradient of the parameters `(parameters,)`."""
        return torch.optim.RMSprop([vector], learning_rate, alpha=0.99, eps=1e-5)
