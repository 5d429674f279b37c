"""SyncTarget: keeps the slower copy of a network that its targets are taken from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from looptree.core.callback import Callback
from looptree.core.errors import BadSetting
from looptree.rl.networks import Network
from looptree.rl.state import load_module_state, module_state


class SyncTarget(Callback):
    """Copies the learner's `network` into its `target_network` whenever `every_env_steps` more env steps were
    made.

    Mnih et al. 2015 copy every C parameter updates; like Stable-Baselines3, whose tuned settings are in wide
    use, this counts steps of the environments instead. The network does not change while experience is
    collected, so that one copy after it does for however many were due: where more is collected between two
    updates than `every_env_steps`, each round of updates has targets from the parameters that it began with.
    """

    if TYPE_CHECKING:  # read on the learner
        network: Network
        target_network: Network
        env_steps: int

    def __init__(self, every_env_steps: int) -> None:
        if every_env_steps < 1:
            raise BadSetting(f"SyncTarget(every_env_steps={every_env_steps}): 1 or more would fit.")
        self.every_env_steps = every_env_steps
        self.copies_due = 0  # in the learner's life

    def after_collect(self, _phase: str = "train") -> None:
        """Copy, where a multiple of `every_env_steps` was reached or passed."""
        due = self.env_steps // self.every_env_steps
        if due > self.copies_due:
            self.copies_due = due
            with torch.no_grad():
                source = self.network.state_dict()  # buffers too
                for name, target in self.target_network.state_dict().items():
                    target.copy_(source[name])

    def state_dict(self) -> dict[str, Any]:
        """The target network's parameters, and how many copies have been due."""
        return {"copies_due": self.copies_due, "target_network": module_state(self.target_network)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        self.copies_due = state["copies_due"]
        load_module_state(self.target_network, state["target_network"])
