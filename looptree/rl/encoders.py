"""Encoders: from observations of every kind to features, numbers side by side that linear layers can read.

Each kind of space has its own: arrays of numbers are flattened, whole numbers that stand for one of several things are
one-hot, images go through convolutions, and the entries of a Dict or a Tuple each through their own.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor, nn

from looptree.rl.errors import UnfitEnvironment
from looptree.rl.networks import Initialise, convolution, linear_layer
from looptree.rl.packed import check_observations, entries, kept_type

_LEAST_SIDE = 36  # of an image in pixels, for the filters below to find room


class Encoder(nn.Module, ABC):
    """From observations to features."""

    size: int  # how many features an observation has

    @abstractmethod
    def forward(self, observation: Tensor) -> Tensor:
        """The features `(batch, size)` float32 of observations `(batch, *observation shape)`, of packed ones `(batch,
        bytes)`."""


class Numbers(Encoder):
    """The numbers themselves. For a Box that is no image, and for `MultiBinary`."""

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.size = math.prod(shape)

    def forward(self, observation: Tensor) -> Tensor:
        """The numbers in a row."""
        features = observation.float()
        return features if features.dim() == 2 else features.reshape(len(features), self.size)


class OneHot(Encoder):
    """For each choice as many features as it has options, of which that of the chosen one is 1 and the others are 0.
    For `Discrete` and `MultiDiscrete`."""

    places: Tensor  # (choices,) int64: where the feature of option 0 of each choice is, or would be

    def __init__(self, options: NDArray[np.int64], start: NDArray[np.int64]) -> None:
        """Each choice has `options` `(choices,)`, which are counted from `start` `(choices,)`."""
        super().__init__()
        self.size = int(options.sum())
        self.register_buffer("places", torch.from_numpy(np.cumsum(options) - options - start), persistent=False)

    def forward(self, observation: Tensor) -> Tensor:
        """The features of all choices side by side."""
        chosen = observation.reshape(len(observation), len(self.places)).long() + self.places
        features = torch.zeros(len(chosen), self.size)
        return features.scatter_(1, chosen, 1.0)


class NatureCNN(Encoder):
    """Three layers of filters and a linear one, each followed by a ReLU (Mnih et al. 2015, Methods). For images.

    Pixels are taken from 0..255 to 0..1. What comes before the last three dimensions of an image, as stacked frames do,
    are further channels. A network as published has no hidden layers after it: `hidden_sizes=()`.
    """

    size = 512

    def __init__(self, shape: Sequence[int], initialise: Initialise, generator: torch.Generator) -> None:
        """`shape` is `(height, width)`, `(..., channels, height, width)` or `(..., height, width, channels)`."""
        super().__init__()
        self.channels_last, (channels, height, width) = image_layout(shape)
        self.filters = nn.ModuleList()
        for outputs, side, stride in ((32, 8, 4), (64, 4, 2), (64, 3, 1)):
            self.filters.append(convolution(channels, outputs, side, stride, initialise, generator))
            channels, height, width = outputs, (height - side) // stride + 1, (width - side) // stride + 1
        self.linear = linear_layer(channels * height * width, self.size, initialise, generator)

    def forward(self, observation: Tensor) -> Tensor:
        """What the linear layer makes of all filters."""
        images = observation.movedim(-1, -3) if self.channels_last else observation
        features = (images.unsqueeze(1) if images.dim() == 3 else images.flatten(1, -3)).float() / 255
        for layer in self.filters:
            features = layer(features).relu_()
        return torch.relu(self.linear(features.flatten(1)))


def image_layout(shape: Sequence[int]) -> tuple[bool, tuple[int, int, int]]:
    """Whether the channels of an image are its last dimension, as they are where that is shorter than its height; and
    its channels, height and width."""
    if len(shape) == 2:
        return False, (1, shape[0], shape[1])
    *stacked, first, middle, last = shape
    if last < first:
        return True, (math.prod(stacked) * last, first, middle)
    return False, (math.prod(stacked) * first, middle, last)


def is_image(space: gymnasium.Space[Any]) -> bool:
    """Whether observations are images, or stacks of images, of bytes and with room for the filters of `NatureCNN`."""
    if not isinstance(space, spaces.Box) or space.dtype != np.uint8 or len(space.shape) not in (2, 3, 4):
        return False
    _, (_, height, width) = image_layout(space.shape)
    return min(height, width) >= _LEAST_SIDE


class SideBySide(Encoder):
    """The features of all entries in their order, each by an encoder of its own. For `Dict` and `Tuple`."""

    def __init__(self, encoders: Sequence[Encoder], packed: np.dtype[Any]) -> None:
        """`packed` is the `kept_type` of the space, and has a field for each encoder."""
        super().__init__()
        self.size = sum(encoder.size for encoder in encoders)
        self.encoders = nn.ModuleList(encoders)
        self._entries = [_Entry(*field[:2]) for field in (packed.fields or {}).values()]

    def forward(self, observation: Tensor) -> Tensor:
        """The features of the entries of observations `(batch, bytes)`."""
        pairs = zip(self.encoders, self._entries, strict=True)
        return torch.cat([encoder(entry.of(observation)) for encoder, entry in pairs], 1)


class _Entry:
    """Where an entry stands among the bytes of a packed observation."""

    def __init__(self, kept: np.dtype[Any], start: int) -> None:
        self.bytes = slice(start, start + kept.itemsize)
        self.packed = kept.names is not None  # then its bytes are what its encoder reads
        self.dtype = torch.uint8 if self.packed else torch.from_numpy(np.zeros(0, kept.base)).dtype
        self.shape = kept.shape

    def of(self, observation: Tensor) -> Tensor:
        """The entry `(batch, *entry shape)`, or its bytes, of observations `(batch, bytes)`."""
        rows = observation[:, self.bytes]
        if self.packed:
            return rows
        # Copied, for these bytes need not begin where a number of this type may.
        copied = rows.clone(memory_format=torch.contiguous_format)
        return copied.view(self.dtype).view(len(rows), *self.shape)


def encoder_for(
    observer: str, space: gymnasium.Space[Any], initialise: Initialise, generator: torch.Generator
) -> Encoder:
    """The encoder of a single environment's observations; what weights it has are drawn from the generator.

    Raises `UnfitEnvironment`, naming the `observer`, where there is none, or nothing to be seen.
    """
    check_observations(observer, space)
    encoder = _encoder(space, initialise, generator)
    if encoder.size == 0:
        raise UnfitEnvironment(f"{observer} cannot learn from {space}: there is nothing to be seen in it.")
    return encoder


def _encoder(space: gymnasium.Space[Any], initialise: Initialise, generator: torch.Generator) -> Encoder:
    inner = entries(space)
    if inner is not None:
        encoders = [_encoder(entry, initialise, generator) for entry in inner.values()]
        return SideBySide(encoders, kept_type(space))
    if isinstance(space, spaces.Discrete):
        return OneHot(np.array([space.n], np.int64), np.array([space.start], np.int64))
    if isinstance(space, spaces.MultiDiscrete):
        return OneHot(space.nvec.reshape(-1).astype(np.int64), space.start.reshape(-1).astype(np.int64))
    shape = space.shape or ()
    return NatureCNN(shape, initialise, generator) if is_image(space) else Numbers(shape)
