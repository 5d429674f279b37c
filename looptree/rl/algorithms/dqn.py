"""DQN: deep Q-networks.

Mnih, V. et al., Human-level control through deep reinforcement learning, Nature 518, 529-533 (2015). The
parts come in the order of the paper's Methods and Algorithm 1.
"""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from looptree.callbacks.schedule import Schedule, linear
from looptree.core.arguments import instance, several
from looptree.core.callback import Callback
from looptree.core.errors import NotACallback
from looptree.rl.agent import Agent, Callbacks, EpsilonGreedy
from looptree.rl.ahead import Ahead
from looptree.rl.encoders import encoder_for
from looptree.rl.environments import Recipe, Vectorization, check_making
from looptree.rl.fits import fitting_actions
from looptree.rl.flat import FlatParameters
from looptree.rl.learner import Learner, Remember, Update
from looptree.rl.memory import Batch, ReplayBuffer
from looptree.rl.networks import uniform
from looptree.rl.optimizers import Adam
from looptree.rl.presets import PRESETS
from looptree.rl.q_network import NetworkPart, QDesign, QNetwork
from looptree.rl.seeding import stream, torch_generator
from looptree.rl.settings import check_kinds, require, require_finite, require_order, require_whole
from looptree.rl.source import EpisodeSource, GymSource
from looptree.rl.target import SyncTarget
from looptree.rl.threads import TorchThreads
from looptree.rl.workers import MAX_RESTARTS, STEP_TIMEOUT_S


@dataclass(frozen=True)
class DQNSettings:
    """The settings of a DQN run; where Stable-Baselines3 has another name for one, it stands in brackets."""

    total_env_steps: int = 50_000
    """Steps of single environments in the whole run."""
    num_envs: int = 1
    """Environments that are stepped side by side."""
    vectorization: Vectorization = "auto"
    """How they stand side by side: by the environment's own vector class, in turn, each in its own process, or in
    EnvPool."""
    wrappers: tuple[str, ...] = ()
    """What each of them wears, the innermost first: TimeAwareObservation, "FrameStackObservation(stack_size=4)"."""
    step_timeout_s: float = STEP_TIMEOUT_S
    """Seconds after which an environment in a process of its own counts as hung and is begun anew; inf: never."""
    max_restarts: int = MAX_RESTARTS
    """Times that environments in processes of their own are begun anew before the run fails."""
    env_steps_per_pass: int = 4
    """Env steps collected between two updates, rounded up to whole steps of all environments [train_freq]."""
    gradient_steps_per_pass: int = 1
    """Gradient steps made in each update [gradient_steps]."""
    learning_starts_env_steps: int = 100
    """Env steps made at random before the first update [learning_starts]."""
    replay_capacity: int = 1_000_000
    """Transitions that the replay buffer holds [buffer_size]."""
    batch_size: int = 32
    """Transitions in a minibatch."""
    hidden_sizes: tuple[int, ...] = (64, 64)
    """Units of each hidden layer of the Q-network [net_arch]."""
    learning_rate: float = 1e-4
    """Step size of Adam."""
    max_gradient_norm: float = 10.0
    """The gradient is scaled down to this length where it is longer [max_grad_norm]."""
    gamma: float = 0.99
    """Discount of the next step's value."""
    target_every_env_steps: int = 10_000
    """Env steps between two copies of the Q-network into the target network [target_update_interval]."""
    epsilon_start: float = 1.0
    """Share of random actions at the beginning [exploration_initial_eps]."""
    epsilon_end: float = 0.05
    """Share of random actions after the decay [exploration_final_eps]."""
    epsilon_fraction: float = 0.1
    """Part of the run in which that share goes down in a straight line [exploration_fraction]."""
    evaluate_every_env_steps: int = 2_560
    """Env steps between two evaluations, rounded down to whole passes, but at least one."""
    evaluation_episodes: int = 20
    """Episodes of one evaluation, played side by side."""

    def __post_init__(self) -> None:
        """Raises `BadSetting` for a setting that cannot be, and for two that contradict each other."""
        check_kinds(self)
        require_whole(self, "total_env_steps", "num_envs", "env_steps_per_pass", "gradient_steps_per_pass")
        check_making(self)
        require_whole(self, "learning_starts_env_steps", least=0)
        require_whole(self, "replay_capacity", "batch_size", "target_every_env_steps")
        require_whole(self, "evaluate_every_env_steps", "evaluation_episodes")
        require(self, "hidden_sizes", all(units >= 1 for units in self.hidden_sizes), "1 unit or more a layer")
        require(self, "learning_rate", self.learning_rate > 0, "a number above 0")
        require_finite(self, "learning_rate")
        require(self, "max_gradient_norm", self.max_gradient_norm > 0, "a number above 0")
        require(self, "gamma", 0 <= self.gamma <= 1, "a number from 0 to 1")
        require(self, "epsilon_start", 0 <= self.epsilon_start <= 1, "a number from 0 to 1")
        require(self, "epsilon_end", 0 <= self.epsilon_end <= 1, "a number from 0 to 1")
        require(self, "epsilon_fraction", 0 < self.epsilon_fraction <= 1, "a number above 0 and up to 1")
        require_order(self, "epsilon_end", "<=", "epsilon_start")
        require_order(self, "learning_starts_env_steps", "<", "total_env_steps")
        require_order(self, "batch_size", "<=", "replay_capacity")
        require_order(self, "num_envs", "<=", "replay_capacity")
        require_order(self, "env_steps_per_pass", "<=", "evaluate_every_env_steps")


# The network: from a state to one value for each action, so that one forward pass is enough for all of them.


def members_of(actions: gymnasium.spaces.Discrete) -> Callable[[NDArray[np.int64]], NDArray[Any]] | None:
    """What turns the numbers of actions `(envs,)`, counted from 0, into members of their space; None where these are
    the same."""
    if actions.start == 0 and actions.dtype == np.int64:
        return None
    return functools.partial(np.add, actions.start, dtype=actions.dtype, casting="unsafe")


# Behaviour: epsilon-greedy, with epsilon annealed linearly; a uniformly random policy until learning starts.


@dataclass(frozen=True)
class Exploration:
    """Epsilon as a function of the env steps made."""

    learning_starts_env_steps: int
    decay: linear

    def __call__(self, env_steps: float) -> float:
        return 1.0 if env_steps < self.learning_starts_env_steps else self.decay(env_steps)


def exploration(settings: DQNSettings) -> Exploration:
    """The schedule of epsilon that settings ask for."""
    decay_env_steps = settings.epsilon_fraction * settings.total_env_steps
    decay = linear(settings.epsilon_start, settings.epsilon_end, decay_env_steps)
    return Exploration(settings.learning_starts_env_steps, decay)


# The loss: squared up to an error of 1 and absolute beyond it; the paper calls this clipping the error term.


def taken(values: Tensor, actions: Tensor) -> Tensor:
    """Of values `(batch, actions)` those of the actions `(batch,)` that were taken, `(batch,)`."""
    return values.gather(1, actions.unsqueeze(1)).squeeze(1)


def q_targets(rewards: Tensor, discounts: Tensor, next_values: Tensor) -> Tensor:
    """r + gamma Q^(s', a'), `(batch,)`.

    All three are `(batch,)`. `discounts` are gamma, and 0 where the episode terminated with this step. A truncated
    step is like any other here: its next observation has a value.
    """
    return rewards + discounts * next_values


def q_losses(errors: Tensor) -> tuple[Tensor, Tensor]:
    """The Huber losses `(batch,)` of errors `(batch,)`, which are values - targets, and how fast each grows with its
    value, `(batch,)`: as the error, but no faster than 1."""
    slopes = errors.clamp(-1.0, 1.0)
    return slopes * torch.sub(errors, slopes, alpha=0.5), slopes


class QUpdate(Update):
    """A gradient step of Q-learning on a minibatch of the replay buffer."""

    rows: Tensor  # (batch,) of the memory
    batch: Batch
    discounts: Tensor  # (batch,) what the value of the next observation counts for, 0.0 where there is none
    next_outputs: Tensor  # (batch, outputs) what the target network says of the next observation
    next_actions: Tensor  # (batch,) what is to be done there
    next_values: Tensor  # (batch,) what that is worth
    targets: Tensor  # (batch,)
    errors: Tensor  # (batch,) how far the values are from the targets
    losses: Tensor = torch.tensor(math.nan)  # (batch,); NaN as long as no on_loss has set them
    slopes: Any = None  # (batch, outputs) how fast the loss grows with each output; None where losses have a graph

    if TYPE_CHECKING:  # read on the learner
        network: QNetwork
        target_network: QNetwork
        ahead: Ahead
        gamma: float

    def before_run(self) -> None:
        """Get ready: minibatches too."""
        super().before_run()
        alone = self.gradient_steps_per_run > 1 and self._is_alone()
        self.ahead.begin(self.memory, self.gradient_steps_per_run, self.batch_size, alone=alone)

    def _is_alone(self) -> bool:
        """Whether nothing but this class acts in a run, and on nothing but the network: no callback, no subclass, no
        optimizer of another making, no target network that learns too, and nobody who pulls the update on its own, and
        has a turn after each step."""
        own = type(self) is QUpdate and type(self.optimizer) is Adam and self.target_network is not self.network
        return own and self.phase is not None and all(step.target is self for step in self.plan.steps())

    def before_sample(self) -> None:
        """Draw rows, all equally likely."""
        self.rows = self.ahead.draw()

    def on_sample(self) -> None:
        """Read what is stored in them."""
        self.batch = self.ahead.read(self.rows)
        # gamma * (1 - terminated), in one operation
        self.discounts = torch.rsub(self.batch.terminated, self.gamma, alpha=self.gamma)

    def before_target(self) -> None:
        """Ask the target network, which has no part in the gradient, and take the action that it holds for best."""
        answer = self.ahead.ask(self.target_network, self.batch)
        self.next_outputs, self.next_values, self.next_actions = answer

    def on_target(self) -> None:
        """Add what that action is worth."""
        self.targets = q_targets(self.batch.reward, self.discounts, self.next_values)

    def on_loss(self) -> None:
        """Compare with what the Q-network says of the actions that were taken."""
        outputs, actions = self.backward.forward(self.batch.observation), self.batch.action
        self.errors = taken(outputs, actions) - self.targets
        self.losses, slopes = q_losses(self.errors)
        self.slopes = torch.zeros_like(outputs).scatter_(1, actions.unsqueeze(1), slopes.unsqueeze(1))

    def after_loss(self) -> None:
        """Take the mean over the batch."""
        self.learner.loss = self.losses.mean()
        if self.slopes is not None:
            self.slopes /= len(self.slopes)

    def finally_run(self) -> None:
        """Let go of the answer and of all minibatches."""
        super().finally_run()
        self.ahead.end()


# Algorithm 1.


class DQN(Learner):
    """Deep Q-learning with experience replay.

        DQN("CartPole-v1", seed=1).run()

    A pass collects `env_steps_per_pass` transitions with the epsilon-greedy agent, copies the Q-network into
    the target network where that is due, and makes `gradient_steps_per_pass` gradient steps on minibatches of
    the replay buffer.

    Actions are Discrete. Observations are of any kind that has an encoder (see `looptree.rl.encoders`): Box, images
    too, Discrete, MultiDiscrete, MultiBinary, and Dict and Tuple of those.
    """

    metrics = (*Learner.metrics, "epsilon")
    traced = (*Learner.traced, "epsilon")

    network: QNetwork
    epsilon: float  # share of random actions

    def __init__(
        self,
        env_id: str,
        settings: DQNSettings | None = None,
        cbs: Callbacks | None = None,
        *,
        seed: int = 0,
        name: str | None = None,
    ) -> None:
        """Without settings, those of the preset for `env_id` hold, or else the defaults. `cbs` may be variants too (see
        `looptree.rl.variants`), of which some replace a part of the network.

        Raises `BadSetting` (where two variants replace the same part, too), `UnknownEnvironment`,
        `EnvironmentUnavailable`, and `UnfitEnvironment` where actions are not Discrete, or observations of a kind for
        which there is no encoder.
        """
        settings = PRESETS.unless_given(settings, "dqn", env_id, DQNSettings)
        learner = type(self).__name__
        recipe = Recipe.asked_for(env_id, settings)
        observations, actions, stacks_frames = recipe.single()
        actions = fitting_actions(learner, "dqn", actions)
        plugged_in = [instance(callback, Callback, NotACallback) for callback in several(cbs)]
        design = QDesign(stream(seed, "network"))
        for callback in plugged_in:
            design = callback.shape(design) if isinstance(callback, NetworkPart) else design
        encoder = encoder_for(learner, observations, uniform, torch_generator(stream(seed, "encoder")))
        network = design.network(encoder, settings.hidden_sizes, int(actions.n))
        self.settings = settings
        self.gradient_steps_per_pass = settings.gradient_steps_per_pass
        self.learning_starts_env_steps = settings.learning_starts_env_steps
        self.gamma = settings.gamma
        self.epsilon = settings.epsilon_start
        to_environment = members_of(actions)
        self.memory = ReplayBuffer(
            settings.replay_capacity, observations, actions, stream(seed, "replay"), stacked_frames=stacks_frames
        )
        self.target_network = copy.deepcopy(network)
        self.flat = FlatParameters(network.parameters())
        self.ahead = Ahead()
        made_in_a_pass = settings.num_envs * math.ceil(settings.env_steps_per_pass / settings.num_envs)
        explore = EpsilonGreedy(network.output_size, stream(seed, "exploration"))
        super().__init__(
            recipe,
            network,
            GymSource(
                recipe,
                settings.num_envs,
                Agent(network, explore),
                Remember(),
                to_environment=to_environment,
                seed=stream(seed, "train"),
                call_on="on_collect",
                name="source",
            ),
            QUpdate(
                Adam(self.flat.vector, settings.learning_rate),
                settings.batch_size,
                settings.max_gradient_norm,
            ),
            EpisodeSource(
                recipe,
                settings.evaluation_episodes,
                Agent(network),
                to_environment=to_environment,
                seed=stream(seed, "valid"),
                call_on="on_evaluate",
                name="valid_source",
            ),
            [
                TorchThreads(1),
                Schedule("epsilon", exploration(settings), over="env_steps"),
                SyncTarget(settings.target_every_env_steps),
                *plugged_in,
            ],
            seed=seed,
            total_env_steps=settings.total_env_steps,
            env_steps_per_pass=settings.env_steps_per_pass,
            passes_per_evaluation=max(1, settings.evaluate_every_env_steps // made_in_a_pass),
            name=name,
        )

    def on_update(self, _phase: str = "train") -> None:
        """Let the update make its gradient steps, none before learning starts."""
        starts = self.env_steps >= self.learning_starts_env_steps
        self.update.gradient_steps_per_run = self.gradient_steps_per_pass if starts else 0

    def remarks(self) -> tuple[str, ...]:
        """The parts of the network that are not DQN's own."""
        parts = [f"{place} by {name}" for place, name in self.network.replaced_by.items()]
        return (f"network: {', '.join(parts)}",) if parts else ()

    def state_dict(self) -> dict[str, Any]:
        """The whole state of the run between two passes."""
        return super().state_dict() | {"epsilon": self.epsilon, "memory": self.memory.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave; the next run goes on from there.

        Where the environments could not be saved (`source.restarted` says why), the episodes that were under
        way count as truncated.
        """
        super().load_state_dict(state)
        self.epsilon = state["epsilon"]
        self.memory.load_state_dict(state["memory"])
        if self.source.restarted:
            self.memory.cut_episodes()
