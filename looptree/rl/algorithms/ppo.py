"""PPO: proximal policy optimisation with a clipped objective.

Schulman, J. et al., Proximal Policy Optimization Algorithms, arXiv:1707.06347 (2017). The parts come in the
order of the paper: the objective of its sections 3 and 5, the networks of section 6.1, Algorithm 1. Details
that the paper leaves open follow Huang, S. et al., The 37 implementation details of proximal policy
optimization (ICLR blog track, 2022), except that truncated episodes have a value beyond their end.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
import torch
from torch import Tensor, nn

from looptree.callbacks.schedule import Schedule, linear
from looptree.core.arguments import several
from looptree.core.callback import Callback
from looptree.core.loop import Loop
from looptree.rl.actor_critic import ActorCritic
from looptree.rl.agent import Callbacks, PolicyAgent, Sample
from looptree.rl.encoders import encoder_for
from looptree.rl.environments import Recipe, Vectorization, check_making
from looptree.rl.flat import FlatParameters
from looptree.rl.learner import Learner, Remember, Update
from looptree.rl.networks import orthogonal
from looptree.rl.normalise import NormaliseObservations, NormaliseRewards, normaliser_for
from looptree.rl.optimizers import Adam, Optimizer
from looptree.rl.packed import as_bytes
from looptree.rl.policies import policy_for
from looptree.rl.presets import PRESETS
from looptree.rl.returns import gae
from looptree.rl.rollout import Experience, Rollout
from looptree.rl.seeding import numpy_generator, stream, torch_generator
from looptree.rl.settings import check_kinds, require, require_finite, require_whole
from looptree.rl.source import EpisodeSource, GymSource
from looptree.rl.state import generator_from, generator_state
from looptree.rl.threads import TorchThreads
from looptree.rl.workers import MAX_RESTARTS, STEP_TIMEOUT_S


@dataclass(frozen=True)
class PPOSettings:
    """The settings of a PPO run; where Stable-Baselines3 has another name for one, it stands in brackets."""

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
    steps_per_rollout: int = 2_048
    """Steps of each environment between two updates [n_steps]."""
    epochs: int = 10
    """Times that each rollout is gone over [n_epochs]."""
    batch_size: int = 64
    """Steps in a minibatch, at most: an epoch's minibatches are of equal size, to within one."""
    hidden_sizes: tuple[int, ...] = (64, 64)
    """Units of each hidden layer of the actor and of the critic [net_arch]."""
    initial_log_std: float = 0.0
    """Logarithm of the standard deviation that actions in a Box begin with, in halves of the way between its
    bounds [log_std_init]."""
    learning_rate: float = 3e-4
    """Step size of Adam at the beginning."""
    anneal_learning_rate: bool = False
    """Whether the step size goes down in a straight line, to 0 at the end of the run."""
    clip_range: float = 0.2
    """How far the probability ratio may move from 1 before the objective ignores it; inf: as far as it likes."""
    anneal_clip_range: bool = False
    """Whether the clip range goes down in a straight line, to 0 at the end of the run."""
    value_clip_range: float = math.inf
    """How far a value may move from the rollout's before its loss ignores it; inf: as far as it likes
    [clip_range_vf]."""
    target_kl: float = math.inf
    """An update ends with the epoch in which the policy's divergence from the rollout's passes this, in nats."""
    normalise_advantages: bool = True
    """Whether each minibatch's advantages are brought to mean 0 and standard deviation 1."""
    entropy_coefficient: float = 0.0
    """Weight of the policy's entropy in the objective [ent_coef]."""
    value_coefficient: float = 0.5
    """Weight of the critic's mean squared error in the loss [vf_coef]."""
    max_gradient_norm: float = 0.5
    """The gradient is scaled down to this length where it is longer [max_grad_norm]."""
    gamma: float = 0.99
    """Discount of the next step's value."""
    gae_lambda: float = 0.95
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
        """Raises `BadSetting` for a setting that cannot be, and for two that contradict each other."""
        check_shared(self)
        require_whole(self, "epochs", "batch_size")
        for name in ("clip_range", "value_clip_range", "target_kl"):
            require(self, name, getattr(self, name) > 0, "a number above 0")
        endless = self.anneal_clip_range and math.isinf(self.clip_range)
        require(self, "clip_range", not endless, "with anneal_clip_range, a finite number")

    @property
    def env_steps_per_rollout(self) -> int:
        """Steps of all environments together between two updates."""
        return self.num_envs * self.steps_per_rollout


def check_shared(settings: Any) -> None:
    """Raise `BadSetting` for a setting that cannot be, of those that every algorithm of this kind has."""
    check_kinds(settings)
    require_whole(settings, "total_env_steps", "num_envs", "steps_per_rollout")
    check_making(settings)
    require_whole(settings, "evaluate_every_env_steps", "evaluation_episodes")
    require(settings, "hidden_sizes", all(units >= 1 for units in settings.hidden_sizes), "1 unit or more a layer")
    for name in ("learning_rate", "max_gradient_norm"):
        require(settings, name, getattr(settings, name) > 0, "a number above 0")
    require_finite(settings, "initial_log_std", "learning_rate", "entropy_coefficient", "value_coefficient")
    for name in ("entropy_coefficient", "value_coefficient"):
        require(settings, name, getattr(settings, name) >= 0, "a number of 0 or more")
    for name in ("gamma", "gae_lambda"):
        require(settings, name, 0 <= getattr(settings, name) <= 1, "a number from 0 to 1")


# The objective: sections 3 and 5.


def clipped_objective(log_ratio: Tensor, advantages: Tensor, clip_range: float) -> tuple[Tensor, Tensor]:
    """L^CLIP, equation 7: the mean `()` of min(r A, clip(r, 1 - e, 1 + e) A), which is to be raised, and its slopes
    `(batch,)` at log r.

    `log_ratio` `(batch,)` is log r, the log-probability of each action less what it was when the action was
    taken; `advantages` `(batch,)`. There is no reward for moving r further than `clip_range` away from 1 in
    the direction that an advantage asks for, and no limit to moving it back.
    """
    ratio = log_ratio.exp()
    gains = ratio * advantages
    rewarded = torch.minimum(gains, ratio.clamp(1 - clip_range, 1 + clip_range) * advantages)
    return rewarded.mean(), gains.masked_fill(gains > rewarded, 0.0) / len(gains)


def value_loss(values: Tensor, targets: Tensor, old_values: Tensor, clip_range: float) -> tuple[Tensor, Tensor]:
    """L^VF, equation 9: the mean squared error `()` of values `(batch,)`, and its slopes `(batch,)` at them.

    With a finite clip range the error is that of the value as it is, or as it would be had it moved no
    further than that from the rollout's, whichever is larger.
    """
    errors = values - targets
    slopes = errors * (2 / len(errors))
    if math.isinf(clip_range):
        return errors.dot(errors) / len(errors), slopes
    moved = values - old_values
    squares = errors.square()
    larger = torch.maximum(squares, (old_values + moved.clamp(-clip_range, clip_range) - targets).square())
    return larger.mean(), slopes.masked_fill((larger > squares) & (moved.abs() > clip_range), 0.0)


def approximate_kl(log_ratio: Tensor) -> Tensor:
    """KL(old, new) `()` in nats, estimated from actions that the old policy took: the mean of r - 1 - log r,
    which is never negative (Schulman 2020, Approximating KL divergence)."""
    return (log_ratio.exp() - 1 - log_ratio).mean()


def normalised(advantages: Tensor) -> Tensor:
    """Advantages `(batch,)` of mean 0 and standard deviation 1, all zero where they are all the same; a single
    one as it is."""
    return advantages if len(advantages) == 1 else nn.functional.layer_norm(advantages, advantages.shape, eps=1e-16)


# The network: section 6.1, with a critic of its own.


def actor_critic(
    learner: str,
    observations: gymnasium.Space[Any],
    actions: gymnasium.Space[Any],
    settings: PPOSettings,
    seed: np.random.SeedSequence,
) -> ActorCritic:
    """The actor and the critic for a single environment's observations and actions.

    Raises `UnfitEnvironment`, naming the learner, where there is no policy for the actions or no encoder for the
    observations, or where these cannot be normalised as the settings ask.
    """
    policy = policy_for(learner, actions, settings.initial_log_std)
    generator = torch_generator(seed)
    encoder = encoder_for(learner, observations, orthogonal, generator)
    normaliser = normaliser_for(observations) if settings.normalise_observations else None
    return ActorCritic(encoder, settings.hidden_sizes, policy, generator, normaliser)


# Algorithm 1, line 6: K epochs, with minibatches of a rollout's steps.


class Minibatch(Update):
    """A gradient step on a share of the rollout."""

    call_on = "on_learn"

    advantages: Tensor  # (batch,) of the minibatch, normalised where that is asked for
    outputs: Tensor  # (batch, outputs) what the actor says
    values: Tensor  # (batch,) what the critic says
    log_prob: Tensor  # (batch,) of its actions, under the policy as it is
    log_ratio: Tensor  # (batch,) how much likelier they have become since they were taken

    if TYPE_CHECKING:  # read on the loops above
        network: ActorCritic
        minibatches: list[Experience]
        learning_rate: float
        clip_range: float
        value_clip_range: float
        normalise_advantages: bool
        entropy_coefficient: float
        value_coefficient: float

    def items(self) -> list[Experience]:
        """The minibatches of this epoch."""
        return self.minibatches

    def before_run(self) -> None:
        """Get ready; the optimizer gets the learner's step size."""
        super().before_run()
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate

    def on_sample(self) -> None:
        """Take the next minibatch."""
        self.batch = self.item

    def on_target(self) -> None:
        """Normalise the advantages."""
        advantages = self.batch.advantage
        self.advantages = normalised(advantages) if self.normalise_advantages else advantages

    def on_loss(self) -> None:
        """Ask actor and critic again; the loss is minus the objective of equation 9."""
        self.ask()
        self.log_ratio = self.log_prob - self.batch.log_prob
        self.learner.loss = self.loss_of(*clipped_objective(self.log_ratio, self.advantages, self.clip_range))

    def ask(self) -> None:
        """Set `outputs`, `values` and `log_prob`."""
        batch = self.batch
        self.outputs, self.values = self.backward.forward(batch.observation)
        with torch.no_grad():
            self.log_prob = self.network.policy.log_prob(self.outputs, batch.action)

    def loss_of(self, objective: Tensor, slopes: Tensor) -> Tensor:
        """The loss `()`, whose slopes are noted for the step: the critic's, less the policy's `objective` `()`, which
        has the `slopes` `(batch,)` at the log-probabilities, and less the entropy."""
        batch, policy, outputs = self.batch, self.network.policy, self.outputs
        of_critic, of_values = value_loss(self.values, batch.target, batch.value, self.value_clip_range)
        of_entropy = -self.entropy_coefficient / len(outputs)
        of_outputs, *of_policy = policy.slopes(outputs, batch.action, -slopes, of_entropy)
        self.slopes = (of_outputs, self.value_coefficient * of_values, *of_policy)
        loss = self.value_coefficient * of_critic - objective
        if of_entropy:
            with torch.no_grad():
                loss += of_entropy * policy.entropy(outputs).sum()
        return loss


class Epochs(Loop):
    """Learning from one rollout: a pass goes over all of its steps once, in an order of its own."""

    call_on = "on_update"

    minibatches: list[Experience]

    if TYPE_CHECKING:  # read on the learner
        experience: Experience

    def __init__(
        self, minibatch: Minibatch, epochs: int, batch_size: int, cbs: Callbacks | None, seed: np.random.SeedSequence
    ) -> None:
        self.batch_size = batch_size
        self.generator = numpy_generator(seed)
        super().__init__(minibatch, cbs, times=epochs, name="update")

    def items(self) -> Iterable[Any]:
        """The epochs; none where no step of the rollout was real, for environments only reset themselves in it."""
        return super().items() if len(self.experience.value) else ()

    def on_shuffle(self) -> None:
        """Put the steps into a random order, and cut that into minibatches."""
        steps = len(self.experience.value)
        order = torch.from_numpy(self.generator.permutation(steps))
        number = -(-steps // self.batch_size)
        shuffled = [column.index_select(0, order).tensor_split(number) for column in self.experience]
        self.minibatches = [Experience(*columns) for columns in zip(*shuffled, strict=True)]

    def on_learn(self) -> None:
        """Let the minibatches be learnt from, one after the other."""

    def state_dict(self) -> dict[str, Any]:
        """The counters, the optimizer, and the random generator."""
        return super().state_dict() | {"generator": generator_state(self.generator)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        super().load_state_dict(state)
        self.generator = generator_from(state["generator"])


class TargetKL(Callback):
    """Ends an update with the epoch in which the policy has gone further than `target_kl` nats from the one
    that made the rollout, as its last minibatch shows."""

    def __init__(self, target_kl: float) -> None:
        self.target_kl = target_kl

    def after_learn(self) -> None:
        """Stop the epochs where that is so."""
        divergence = float(approximate_kl(self.loop.minibatch.log_ratio))
        if divergence > self.target_kl:
            self.loop.stop(f"a divergence of {divergence:.3g} nats")


# Algorithm 1.


class PPO(Learner):
    """Proximal policy optimisation, with actor and critic side by side.

        PPO("CartPole-v1", seed=1).run()

    A pass collects a rollout with the present policy, estimates how much better each action was than the
    critic expected, and goes over the rollout several times, minibatch by minibatch.

    Actions are Discrete, MultiDiscrete, MultiBinary, or a Box of floating point with any bounds. Observations are of
    any kind that has an encoder (see `looptree.rl.encoders`): Box, images too, Discrete, MultiDiscrete, MultiBinary,
    and Dict and Tuple of those.
    """

    metrics = (*Learner.metrics, "learning_rate")
    traced = (*Learner.traced, "learning_rate", "clip_range")

    learning_rate: float
    clip_range: float
    value_clip_range: float
    entropy_coefficient: float
    value_coefficient: float
    experience: Experience  # the latest rollout's, ready to be learnt from

    if TYPE_CHECKING:
        network: ActorCritic

    def __init__(
        self,
        env_id: str,
        settings: PPOSettings | None = None,
        cbs: Callbacks | None = None,
        *,
        seed: int = 0,
        name: str | None = None,
    ) -> None:
        """Without settings, those of the preset for `env_id` hold, or else the defaults.

        Raises `BadSetting`, `UnknownEnvironment`, `EnvironmentUnavailable`, and `UnfitEnvironment` where actions are of
        a kind for which there is no policy, or observations of one for which there is no encoder.
        """
        settings = PRESETS.unless_given(settings, "ppo", env_id, PPOSettings)
        recipe = Recipe.asked_for(env_id, settings)
        observations, actions, _ = recipe.single()
        network = actor_critic(type(self).__name__, observations, actions, settings, stream(seed, "network"))
        self.settings: Any = settings
        self.recipe = recipe
        self.learning_rate = settings.learning_rate
        self.clip_range = settings.clip_range
        self.value_clip_range = settings.value_clip_range
        self.normalise_advantages = settings.normalise_advantages
        self.entropy_coefficient = settings.entropy_coefficient
        self.value_coefficient = settings.value_coefficient
        self.gamma = settings.gamma
        self.gae_lambda = settings.gae_lambda
        self.memory = Rollout(settings.steps_per_rollout, settings.num_envs, observations, network.policy)
        self.flat = FlatParameters(network.parameters())
        optimizer = self.new_optimizer(self.flat.vector, settings.learning_rate)
        super().__init__(
            recipe,
            network,
            GymSource(
                recipe,
                settings.num_envs,
                PolicyAgent(network, Sample(stream(seed, "sampling"))),
                Remember(),
                to_environment=network.policy.to_environment,
                seed=stream(seed, "train"),
                call_on="on_collect",
                times=settings.steps_per_rollout,
                name="source",
            ),
            Epochs(
                Minibatch(optimizer, settings.batch_size, settings.max_gradient_norm, name="minibatch"),
                settings.epochs,
                settings.batch_size,
                None if math.isinf(settings.target_kl) else TargetKL(settings.target_kl),
                stream(seed, "shuffling"),
            ),
            EpisodeSource(
                recipe,
                settings.evaluation_episodes,
                PolicyAgent(network),
                to_environment=network.policy.to_environment,
                seed=stream(seed, "valid"),
                call_on="on_evaluate",
                name="valid_source",
            ),
            [TorchThreads(1), *_plugged(settings), *several(cbs)],
            seed=seed,
            total_env_steps=settings.total_env_steps,
            env_steps_per_pass=settings.env_steps_per_rollout,
            passes_per_evaluation=max(1, settings.evaluate_every_env_steps // settings.env_steps_per_rollout),
            name=name,
        )

    def new_optimizer(self, vector: nn.Parameter, learning_rate: float) -> Optimizer:
        """What steps down the gradient of the parameters `(parameters,)`."""
        return Adam(vector, learning_rate, epsilon=1e-5)

    def before_collect(self, _phase: str = "train") -> None:
        """Begin a new rollout."""
        self.memory.clear()

    def before_update(self, _phase: str = "train") -> None:
        """Estimate the advantages with the critic as it is, and note how likely the actions were."""
        rollout, policy = self.memory, self.network.policy
        action = torch.from_numpy(rollout.action.reshape(-1, *policy.action_shape))
        outputs, of_seen = self.network.ask(rollout.seen())
        with torch.no_grad():
            log_prob = policy.log_prob(outputs[: len(action)], action)
        values, next_values = rollout.values(of_seen.numpy())
        advantages = gae(
            rollout.reward,
            values,
            next_values,
            rollout.terminated,
            rollout.truncated,
            rollout.real,
            self.gamma,
            self.gae_lambda,
        )
        columns = (
            rollout.observation,
            rollout.action,
            log_prob.numpy().reshape(values.shape),
            values,
            advantages,
            advantages + values,
        )
        self.experience = Experience(*[torch.from_numpy(as_bytes(rollout.rows(column))) for column in columns])

    @property
    def gradient_steps(self) -> int:
        """Made in the learner's life."""
        return int(self.update.minibatch.count)

    def state_dict(self) -> dict[str, Any]:
        """The whole state of the run between two passes."""
        return super().state_dict() | {"learning_rate": self.learning_rate, "clip_range": self.clip_range}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave; the next run goes on from there."""
        super().load_state_dict(state)
        self.learning_rate = state["learning_rate"]
        self.clip_range = state["clip_range"]


def _plugged(settings: PPOSettings) -> list[Callback]:
    """The callbacks that the settings ask for."""
    plugged: list[Callback] = []
    if settings.normalise_observations:
        plugged.append(NormaliseObservations())
    if settings.normalise_rewards:
        plugged.append(NormaliseRewards(settings.num_envs, settings.gamma))
    for field, anneal in (("learning_rate", settings.anneal_learning_rate), ("clip_range", settings.anneal_clip_range)):
        if anneal:
            curve = linear(getattr(settings, field), 0.0, settings.total_env_steps)
            plugged.append(Schedule(field, curve, over="env_steps"))
    return plugged
