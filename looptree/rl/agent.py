"""Agent: from observations to actions, an inner loop of a source; and what explores around it."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from looptree.core.callback import Callback
from looptree.core.loop import Loop
from looptree.rl.actor_critic import ActorCritic
from looptree.rl.networks import Network
from looptree.rl.seeding import integer_seed, numpy_generator
from looptree.rl.state import generator_from, generator_state

Callbacks = Callback | type[Callback] | Iterable[Callback | type[Callback]]


class Agent(Loop):
    """Asks a network and takes the action with the highest output.

        source = GymSource("CartPole-v1", 8, Agent(network))

    One pass turns the source's `observation` `(envs, *observation shape)` into its `action` `(envs,)`. The
    network is the very object that is trained: there is no copy that could be out of date. Exploration is a
    callback.
    """

    call_on = "before_step"

    values: NDArray[np.float32]  # (envs, actions): what the network says of each action

    if TYPE_CHECKING:  # read on the loops above
        source: Any
        observation: NDArray[Any]

    def __init__(
        self,
        network: Network,
        cbs: Callbacks | None = None,
        *,
        name: str = "agent",
    ) -> None:
        self.network = network
        super().__init__(cbs=cbs, name=name)

    def on_forward(self) -> None:
        """Ask the network, without autograd."""
        self.values = self.network.predict(self.observation)

    def on_select(self) -> None:
        """Take the action of the highest value in each environment, the first of several that are equal."""
        self.source.action = self.values.argmax(1)


class PolicyAgent(Agent):
    """Acts by a policy whose parameters a network gives; takes the likeliest action, and draws one only where
    `Sample` is plugged in."""

    outputs: NDArray[np.float32]  # (envs, outputs): what the policy's distributions are made of

    if TYPE_CHECKING:
        network: ActorCritic

    def on_forward(self) -> None:
        """Ask the actor, without autograd."""
        self.outputs = self.network.predict(self.observation)

    def on_select(self) -> None:
        """Take the likeliest action in each environment."""
        self.source.action = self.network.policy.mode(self.outputs)


class RandomAgent(Loop):
    """Takes any action of the action space, whatever it observes."""

    call_on = "before_step"

    if TYPE_CHECKING:  # read on the loops above
        source: Any

    def __init__(
        self, action_space: gymnasium.Space[Any], seed: np.random.SeedSequence, *, name: str = "agent"
    ) -> None:
        """`action_space` is that of all environments together: its members are `(envs, *action shape)`."""
        self.action_space = copy.deepcopy(action_space)
        self.action_space.seed(integer_seed(seed))
        super().__init__(name=name)

    def on_select(self) -> None:
        """Draw an action for each environment."""
        self.source.action = self.action_space.sample()

    def state_dict(self) -> dict[str, Any]:
        """The counters and the random generator."""
        return super().state_dict() | {"generator": generator_state(self.action_space.np_random)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        super().load_state_dict(state)
        self.action_space.np_random.bit_generator.state = state["generator"]


class Sample(Callback):
    """Draws actions from the agent's policy, in the train phase only."""

    if TYPE_CHECKING:  # read on the loops above
        source: Any
        network: ActorCritic
        outputs: NDArray[np.float32]

    def __init__(self, seed: np.random.SeedSequence) -> None:
        self.generator = numpy_generator(seed)

    def on_select(self, _phase: str = "train", _replace: bool = True) -> None:
        """Draw an action for each environment."""
        self.source.action = self.network.policy.sample(self.outputs, self.generator)

    def state_dict(self) -> dict[str, Any]:
        """The random generator."""
        return {"generator": generator_state(self.generator)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        self.generator = generator_from(state["generator"])


class EpsilonGreedy(Callback):
    """With probability `epsilon`, any action instead of the agent's, drawn for each environment by itself.

    It acts in the train phase only, and reads `epsilon` on the loops above, where a `Schedule` may lower it.
    """

    if TYPE_CHECKING:  # read on the loops above
        source: Any
        epsilon: float

    def __init__(self, num_actions: int, seed: np.random.SeedSequence) -> None:
        self.num_actions = num_actions
        self.generator = numpy_generator(seed)

    def after_select(self, _phase: str = "train") -> None:
        """Put random actions over some of the agent's."""
        action = self.source.action
        explores = self.generator.random(len(action)) < self.epsilon
        if np.count_nonzero(explores):
            random = self.generator.integers(0, self.num_actions, len(action))
            self.source.action = np.where(explores, random, action)

    def state_dict(self) -> dict[str, Any]:
        """The random generator."""
        return {"generator": generator_state(self.generator)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        self.generator = generator_from(state["generator"])
