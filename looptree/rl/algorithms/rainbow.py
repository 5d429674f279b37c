"""Rainbow: six improvements of DQN at once.

Hessel, M. et al., Rainbow: combining improvements in deep reinforcement learning, AAAI (2018). It is DQN with all six
variants plugged in.
"""

from __future__ import annotations

from dataclasses import dataclass

from looptree.core.arguments import several
from looptree.rl.agent import Callbacks
from looptree.rl.algorithms.dqn import DQN, DQNSettings
from looptree.rl.presets import PRESETS
from looptree.rl.settings import require, require_finite, require_order, require_whole
from looptree.rl.variants.c51 import C51
from looptree.rl.variants.double_q import DoubleQ
from looptree.rl.variants.dueling import Dueling
from looptree.rl.variants.n_step import NStep
from looptree.rl.variants.noisy import Noisy
from looptree.rl.variants.prioritized import Prioritized


@dataclass(frozen=True)
class RainbowSettings(DQNSettings):
    """The settings of a Rainbow run: those of DQN, of which epsilon is 0 once learning has started, and those of the
    variants, by default as in the paper."""

    target_steps: int = 3
    """Steps whose rewards a target counts."""
    priority_alpha: float = 0.5
    """How much more often surprising transitions are drawn: 0 not at all, 1 in proportion to the surprise."""
    priority_beta: float = 0.4
    """How far the weights of transitions make up for that at the beginning; 1, in full, at the end."""
    initial_noise: float = 0.5
    """Size of the noise in the weights at the beginning, times 1/sqrt(inputs of the layer)."""
    atoms: int = 51
    """Returns that have a probability."""
    lowest_return: float = -10.0
    """The first of them; lower ones count as this one."""
    highest_return: float = 10.0
    """The last of them; higher ones count as this one."""

    def __post_init__(self) -> None:
        """Raises `BadSetting` for a setting that cannot be, and for two that contradict each other."""
        super().__post_init__()
        require_whole(self, "target_steps")
        require(self, "priority_alpha", 0 <= self.priority_alpha <= 1, "a number from 0 to 1")
        require(self, "priority_beta", 0 <= self.priority_beta <= 1, "a number from 0 to 1")
        require(self, "initial_noise", self.initial_noise > 0, "a number above 0")
        require_whole(self, "atoms", least=2)
        require_finite(self, "initial_noise", "lowest_return", "highest_return")
        require_order(self, "lowest_return", "<", "highest_return")


class Rainbow(DQN):
    """DQN with double Q-learning, a dueling network, n-step targets, prioritised replay, noisy layers and distributions
    of returns.

        Rainbow("CartPole-v1", seed=1).run()
    """

    def __init__(
        self,
        env_id: str,
        settings: RainbowSettings | None = None,
        cbs: Callbacks | None = None,
        *,
        seed: int = 0,
        name: str | None = None,
    ) -> None:
        """Without settings, those of the preset for `env_id` hold, or else the defaults. Raises what `DQN` raises."""
        settings = PRESETS.unless_given(settings, "rainbow", env_id, RainbowSettings)
        variants = [
            DoubleQ(),
            Dueling(),
            NStep(settings.target_steps),
            Prioritized(settings.priority_alpha, settings.priority_beta),
            Noisy(settings.initial_noise),
            C51(settings.atoms, settings.lowest_return, settings.highest_return),
        ]
        super().__init__(env_id, settings, [*variants, *several(cbs)], seed=seed, name=name)
