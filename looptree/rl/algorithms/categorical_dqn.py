"""CategoricalDQN: C51 as its paper has it, DQN with a distribution of returns for each action.

Bellemare, M. G., Dabney, W. and Munos, R., A distributional perspective on reinforcement learning, ICML (2017). It is
DQN with one variant plugged in.
"""

from __future__ import annotations

from dataclasses import dataclass

from looptree.core.arguments import several
from looptree.rl.agent import Callbacks
from looptree.rl.algorithms.dqn import DQN, DQNSettings
from looptree.rl.presets import PRESETS
from looptree.rl.settings import require_finite, require_order, require_whole
from looptree.rl.variants.c51 import C51


@dataclass(frozen=True)
class CategoricalDQNSettings(DQNSettings):
    """The settings of a C51 run: those of DQN, and those of the distributions."""

    atoms: int = 51
    """Returns that have a probability [n_atoms]."""
    lowest_return: float = -10.0
    """The first of them; lower ones count as this one [v_min]."""
    highest_return: float = 10.0
    """The last of them; higher ones count as this one [v_max]."""

    def __post_init__(self) -> None:
        """Raises `BadSetting` for a setting that cannot be, and for two that contradict each other."""
        super().__post_init__()
        require_whole(self, "atoms", least=2)
        require_finite(self, "lowest_return", "highest_return")
        require_order(self, "lowest_return", "<", "highest_return")


class CategoricalDQN(DQN):
    """DQN that learns distributions of returns.

    CategoricalDQN("CartPole-v1", seed=1).run()
    """

    def __init__(
        self,
        env_id: str,
        settings: CategoricalDQNSettings | None = None,
        cbs: Callbacks | None = None,
        *,
        seed: int = 0,
        name: str = "c51",
    ) -> None:
        """Without settings, those of the preset for `env_id` hold, or else the defaults. Raises what `DQN` raises."""
        settings = PRESETS.unless_given(settings, "c51", env_id, CategoricalDQNSettings)
        variant = C51(settings.atoms, settings.lowest_return, settings.highest_return)
        super().__init__(env_id, settings, [variant, *several(cbs)], seed=seed, name=name)
