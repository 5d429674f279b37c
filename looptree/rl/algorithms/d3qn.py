"""D3QN: dueling double deep Q-networks, with targets of several steps.

Wang, Z. et al., Dueling network architectures for deep reinforcement learning, ICML (2016), in which the dueling
network learns by double Q-learning; the n-step targets are from Hessel, M. et al., Rainbow, AAAI (2018). It is DQN with
three variants plugged in.
"""

from __future__ import annotations

from dataclasses import dataclass

from looptree.core.arguments import several
from looptree.rl.agent import Callbacks
from looptree.rl.algorithms.dqn import DQN, DQNSettings
from looptree.rl.presets import PRESETS
from looptree.rl.settings import require_whole
from looptree.rl.variants.double_q import DoubleQ
from looptree.rl.variants.dueling import Dueling
from looptree.rl.variants.n_step import NStep


@dataclass(frozen=True)
class D3QNSettings(DQNSettings):
    """The settings of a D3QN run: those of DQN, and one more."""

    target_steps: int = 3
    """Steps whose rewards a target counts [n_steps]."""

    def __post_init__(self) -> None:
        """Raises `BadSetting` for a setting that cannot be, and for two that contradict each other."""
        super().__post_init__()
        require_whole(self, "target_steps")


class D3QN(DQN):
    """DQN with double Q-learning, a dueling network and n-step targets.

    D3QN("CartPole-v1", seed=1).run()
    """

    def __init__(
        self,
        env_id: str,
        settings: D3QNSettings | None = None,
        cbs: Callbacks | None = None,
        *,
        seed: int = 0,
        name: str | None = None,
    ) -> None:
        """Without settings, those of the preset for `env_id` hold, or else the defaults. Raises what `DQN` raises."""
        settings = PRESETS.unless_given(settings, "d3qn", env_id, D3QNSettings)
        variants = [DoubleQ(), Dueling(), NStep(settings.target_steps)]
        super().__init__(env_id, settings, [*variants, *several(cbs)], seed=seed, name=name)
