"""QNetwork: the value of each action, put together from parts of which a variant may replace one."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from looptree.core.callback import Callback
from looptree.core.errors import BadSetting
from looptree.rl.backward import Backward, ByHand
from looptree.rl.dense import DenseRow, dense
from looptree.rl.encoders import Encoder, Numbers
from looptree.rl.flat import FlatParameters
from looptree.rl.networks import Network, uniform_linear
from looptree.rl.packed import as_bytes
from looptree.rl.seeding import torch_generator

MakeLinear = Callable[[int, int, torch.Generator], nn.Module]


class Answer(NamedTuple):
    """What a network says of some observations."""

    outputs: Tensor  # (batch, outputs)
    values: Tensor  # (batch,) of the best actions
    actions: Tensor  # (batch,) these


class QNetwork(Network):
    """From observations to one value for each action.

    The encoder makes features of an observation. Every layer of the trunk is followed by a ReLU; the head turns what
    comes out of it into outputs, which the reading reads as values. For most networks the outputs are the values
    themselves.
    """

    def __init__(
        self,
        encoder: Encoder,
        trunk: Iterable[nn.Module],
        head: nn.Module,
        reading: Reading,
        num_actions: int,
        replaced_by: dict[str, str],
    ) -> None:
        """`replaced_by` says by place which callback a part is from, for those that are not DQN's own."""
        super().__init__()
        self.replaced_by = replaced_by
        self.encoder = encoder
        self.trunk = nn.ModuleList(trunk)
        self.head = head
        self.reading = reading
        self.output_size = num_actions
        layers = [*self.trunk, *(head.linears if isinstance(head, ValueHead) else [head])]
        learns_nothing_else = not list(encoder.parameters())
        plain = learns_nothing_else and all(type(layer) is nn.Linear and layer.bias is not None for layer in layers)
        # Asked for by name, as layer.weight, a parameter takes as long as a small calculation with it.
        self._dense = [layer._parameters for layer in layers] if plain else []
        self._by_row = plain and isinstance(encoder, Numbers)
        self._says_values = type(reading) is Reading
        self._row = DenseRow()

    def forward(self, observation: Tensor) -> Tensor:
        """The outputs `(batch, actions * outputs of each)` for observations `(batch, *observation shape)`."""
        features = self.encoder(observation)
        for layer in self.trunk:
            features = torch.relu(layer(features))
        outputs: Tensor = self.head(features)
        return outputs

    @property
    def dense_layers(self) -> list[tuple[Tensor, Tensor]]:
        """Weight and bias of each layer after the encoder, where these are all that is learnt, and linear with ReLU
        between them; else none."""
        return [(parameters["weight"], parameters["bias"]) for parameters in self._dense]

    def ask(self, observation: Tensor) -> Tensor:
        """What `forward` gives, without autograd."""
        with torch.no_grad():
            if not self._dense:
                outputs: Tensor = self(observation)
                return outputs
            return dense(self.dense_layers, self.encoder(observation))[-1]

    def answer(self, observation: Tensor) -> Answer:
        """What it says of observations `(batch, *observation shape)`, without autograd."""
        outputs = self.ask(observation)
        return Answer(outputs, *self.values(outputs).max(1))

    def backward(self, flat: FlatParameters) -> Backward:
        """The quickest way to the gradient of a loss: by hand where there are `dense_layers`.

        Raises `BadSetting` where the network, or a layer of it, is another one than was made.
        """
        flat.check_complete(self)
        return ByHand(self.encoder.forward, self.dense_layers, flat) if self._dense else super().backward(flat)

    def values(self, outputs: Tensor) -> Tensor:
        """The values `(batch, actions)` that outputs `(batch, actions * outputs of each)` say."""
        return self.reading.values(outputs)

    def predict(self, observation: NDArray[Any]) -> NDArray[np.float32]:
        """The values `(envs, actions)` of observations `(envs, *observation shape)`, without autograd."""
        if self._by_row and len(observation) == 1:
            row = self._row(self.dense_layers, observation)
            if self._says_values:
                return row
            outputs = torch.from_numpy(row)
        else:
            # Copied, for torch aligns its memory: where an array happens to lie must not change the last bit.
            outputs = self.ask(torch.tensor(as_bytes(observation)))
        values: NDArray[np.float32] = self.values(outputs).numpy()
        return values


class Reading(nn.Module):
    """How a network's outputs are read: each as the value of an action."""

    outputs_per_action = 1

    def values(self, outputs: Tensor) -> Tensor:
        """The values `(batch, actions)` that outputs `(batch, actions * outputs_per_action)` say."""
        return outputs


class ValueHead(nn.Module):
    """Linear layers with ReLU between them, from features to the outputs of all actions."""

    def __init__(
        self,
        sizes: Sequence[int],
        num_actions: int,
        outputs_per_action: int,
        linear: MakeLinear,
        generator: torch.Generator,
    ) -> None:
        """`sizes` are the number of features and those of the hidden units."""
        super().__init__()
        self.linears = linears([*sizes, num_actions * outputs_per_action], linear, generator)

    def forward(self, features: Tensor) -> Tensor:
        """The outputs `(batch, actions * outputs of each)` for features `(batch, features)`."""
        *hidden, last = self.linears
        for linear in hidden:
            features = torch.relu(linear(features))
        outputs: Tensor = last(features)
        return outputs


def linears(sizes: Sequence[int], linear: MakeLinear, generator: torch.Generator) -> nn.ModuleList:
    """Linear layers from each size to the next."""
    return nn.ModuleList(linear(inputs, outputs, generator) for inputs, outputs in itertools.pairwise(sizes))


MakeHead = Callable[[Sequence[int], int, int, MakeLinear, torch.Generator], nn.Module]


@dataclass(frozen=True)
class QDesign:
    """The parts that a Q-network is to be made of. All but the last hidden layer become the trunk."""

    seed: np.random.SeedSequence
    linear: MakeLinear = uniform_linear
    head: MakeHead = ValueHead
    reading: Reading = field(default_factory=Reading)
    replaced_by: dict[str, str] = field(default_factory=dict)
    """Which callback put another part in a place."""

    def replace(self, callback: NetworkPart, place: Literal["linear", "head", "reading"], part: Any) -> QDesign:
        """The same design with another part, on behalf of a callback.

        Raises `BadSetting` where that part has been replaced before.
        """
        name = type(callback).__name__
        if place in self.replaced_by:
            raise BadSetting(
                f"{self.replaced_by[place]} and {name} both replace the network's {place}; plug in one of them only."
            )
        replaced_by = self.replaced_by | {place: name}
        return dataclasses.replace(self, replaced_by=replaced_by, **{place: part})

    def network(self, encoder: Encoder, hidden_sizes: Sequence[int], num_actions: int) -> QNetwork:
        """The network, with initial weights after the encoder's drawn from the seed."""
        generator = torch_generator(self.seed)
        sizes = [encoder.size, *hidden_sizes]
        trunk = linears(sizes[:-1], self.linear, generator)
        head = self.head(sizes[-2:], num_actions, self.reading.outputs_per_action, self.linear, generator)
        return QNetwork(encoder, trunk, head, self.reading, num_actions, self.replaced_by)


class NetworkPart(Callback):
    """A variant that replaces a part of the network, and so has to be there when the network is made:
    `DQN("CartPole-v1", cbs=[Dueling()])`."""

    if TYPE_CHECKING:  # read on the learner
        network: QNetwork

    shaped = False  # whether a network was made with it, be it this learner's or another's

    def shape(self, design: QDesign) -> QDesign:
        """The design with this callback's part in it.

        Raises `BadSetting` where another callback has replaced that part.
        """
        self.shaped = True
        return self.into(design)

    def into(self, design: QDesign) -> QDesign:
        """The design with `design.replace(self, place, part)`."""
        raise NotImplementedError(f"{type(self).__name__} does not say which part it replaces; give it an `into`.")

    def before_run(self) -> None:
        """See that the network was made with it."""
        name = type(self).__name__
        if not self.shaped or name not in getattr(self.network, "replaced_by", {}).values():
            raise BadSetting(
                f"{name} is part of a network, and {self.parent.name}'s was made without it; hand it over when the "
                f"learner is made: {type(self.parent).__name__}(..., cbs=[{name}()])."
            )
