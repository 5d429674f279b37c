"""Normalisation: observations and rewards in units of their own spread, measured as training goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from looptree.core.callback import Callback
from looptree.rl.errors import UnfitEnvironment
from looptree.rl.returns import discounted_sums
from looptree.rl.rollout import Rollout

_EPSILON = 1e-8


class ObservationNormaliser(nn.Module):
    """Takes from observations their running mean, divides them by their running standard deviation, and clips
    them to `clip` of those.

    It belongs to the network that reads the observations, as buffers of it: what acts, learns and evaluates
    has the same statistics, they are saved with the parameters, and only `update` changes them.
    """

    mean: Tensor  # (*observation shape) float64
    variance: Tensor  # (*observation shape) float64
    count: Tensor  # () float64: observations measured

    def __init__(self, shape: tuple[int, ...], clip: float = 10.0) -> None:
        super().__init__()
        self.clip = clip
        self.register_buffer("mean", torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("variance", torch.ones(shape, dtype=torch.float64))
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))

    def forward(self, observation: Tensor) -> Tensor:
        """Observations `(batch, *observation shape)` in the same shape, float32."""
        scale = (self.variance + _EPSILON).rsqrt().float()
        return ((observation - self.mean.float()) * scale).clamp(-self.clip, self.clip)

    def normalise(self, observation: NDArray[np.float32]) -> NDArray[np.float32]:
        """The same for arrays, without autograd."""
        scaled: NDArray[np.float64] = (observation - self.mean.numpy()) / np.sqrt(self.variance.numpy() + _EPSILON)
        return scaled.clip(-self.clip, self.clip).astype(np.float32)

    def update(self, observation: NDArray[Any]) -> None:
        """Measure observations `(batch, *observation shape)` too."""
        mean, variance = merged_moments(float(self.count), self.mean.numpy(), self.variance.numpy(), observation)
        self.mean.copy_(torch.from_numpy(mean))
        self.variance.copy_(torch.from_numpy(variance))
        self.count += len(observation)


def normaliser_for(space: gymnasium.Space[Any]) -> ObservationNormaliser:
    """The normaliser of a single environment's observations.

    Raises `UnfitEnvironment` where they are no numbers of floating point.
    """
    if not isinstance(space, gymnasium.spaces.Box) or not np.issubdtype(space.dtype, np.floating):
        raise UnfitEnvironment(
            f"normalise_observations=True: there is nothing to normalise in {space}; a Box of floating point would fit."
        )
    return ObservationNormaliser(space.shape)


def merged_moments(
    count: float, mean: NDArray[np.float64], variance: NDArray[np.float64], rows: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mean and the variance of `count` rows with these moments and of the new `rows` `(batch, *shape)`
    together (Chan et al. 1979, Updating formulae and a pairwise algorithm for computing sample variances)."""
    if len(rows) == 0:
        return mean, variance
    total = count + len(rows)
    shift = rows.mean(0, np.float64) - mean
    squares = variance * count + rows.var(0, np.float64) * len(rows) + shift**2 * (count * len(rows) / total)
    return mean + shift * (len(rows) / total), squares / total


class NormaliseObservations(Callback):
    """Measures the observations of each rollout for the network's `normaliser`.

    It does so when the rollout has been learnt from: acting and learning see the same numbers, and an
    evaluation changes nothing.
    """

    if TYPE_CHECKING:  # read on the learner
        network: Any
        memory: Rollout

    def after_update(self, _phase: str = "train") -> None:
        """Measure what was acted on."""
        self.network.normaliser.update(self.memory.rows(self.memory.observation))


class NormaliseRewards(Callback):
    """Divides the rewards of each rollout by the running standard deviation of the discounted sums of the
    rewards before them, and clips them to `clip`.

    The mean is not taken away, for that would change what is best to do. The sums go on over rollouts, and
    begin anew with each episode. Returns that a source reports are those of the environment.
    """

    if TYPE_CHECKING:  # read on the learner
        memory: Rollout
        source: Any  # the Source

    def __init__(self, num_envs: int, gamma: float, clip: float = 10.0) -> None:
        self.gamma = gamma
        self.clip = clip
        self.count = 0  # rewards measured
        self.mean = 0.0
        self.variance = 1.0
        self.sums = np.zeros(num_envs)  # of the episodes under way

    def before_collect(self, _phase: str = "train") -> None:
        """Begin sums anew where all episodes begin anew: those under way were dropped, by a failure or since their
        environments could not be saved."""
        if not self.source.begun:
            self.sums = np.zeros_like(self.sums)

    def after_collect(self, _phase: str = "train") -> None:
        """Measure the rollout's rewards, then scale them."""
        rollout = self.memory
        ended = rollout.terminated | rollout.truncated
        sums, self.sums = discounted_sums(rollout.reward, ended, self.gamma, self.sums)
        measured = rollout.rows(sums)
        moments = merged_moments(self.count, np.array(self.mean), np.array(self.variance), measured)
        self.mean, self.variance = (float(moment) for moment in moments)
        self.count += len(measured)
        scaled = rollout.reward / np.sqrt(self.variance + _EPSILON)
        rollout.reward[:] = scaled.clip(-self.clip, self.clip)

    def state_dict(self) -> dict[str, Any]:
        """The statistics, and the sums of the episodes under way."""
        return {
            "count": self.count,
            "mean": self.mean,
            "variance": self.variance,
            "sums": self.sums.copy(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        self.count = state["count"]
        self.mean = state["mean"]
        self.variance = state["variance"]
        self.sums = state["sums"].copy()
