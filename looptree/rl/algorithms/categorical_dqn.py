"""CategoricalDQN: C51 as its paper has it, DQN with a distribution of returns for each action.

Bellemare, M. G., Dabney, W. and Munos, R., A distributional perspective on reinforcement learning, ICML (2017). It is
DQN with one variant plugged in.
"""

from __future__ import annotations

from dataclasses import dataclass

from looptree.core.arguments import several
from looptree.rl.agent import Callbacks
from looptree.rl.algorithms.dqn import DQN, DQNSettings
from looptree.rl.environments import Vectorization
from looptree.rl.settings import require_order, require_whole
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
        require_order(self, "lowest_return", "<", "highest_return")


PRESETS = {
    # DQN's preset (rl-baselines3-zoo). Discounted by 0.99, a reward of 1 for each step comes to 100 at most.
    "CartPole-v1": CategoricalDQNSettings(
        total_env_steps=50_000,
        env_steps_per_pass=256,
        gradient_steps_per_pass=128,
        learning_starts_env_steps=1_000,
        replay_capacity=100_000,
        batch_size=64,
        hidden_sizes=(256, 256),
        learning_rate=2.3e-3,
        gamma=0.99,
        target_every_env_steps=10,
        epsilon_fraction=0.16,
        epsilon_end=0.04,
        lowest_return=0.0,
        highest_return=100.0,
    )
}


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
        vectorization: Vectorization = "auto",
        name: str | None = None,
    ) -> None:
        """Without settings, those of the preset for `env_id` hold, or else the defaults. Raises what `DQN` raises."""
        settings = settings or PRESETS.get(env_id, CategoricalDQNSettings())
        variant = C51(settings.atoms, settings.lowest_return, settings.highest_return)
        super().__init__(env_id, settings, [variant, *several(cbs)], seed=seed, vectorization=vectorization, name=name)
