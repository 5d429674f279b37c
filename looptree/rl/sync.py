"""SyncVectorEnv: environments that are stepped one after the other in this process."""

from __future__ import annotations

import copy
from typing import Any

from gymnasium import vector


class SyncVectorEnv(vector.SyncVectorEnv[Any, Any]):
    """Gymnasium's `SyncVectorEnv`, whose `final_obs` of the infos stay what they were: an environment may write all its
    observations into one array, and is reset in the step that ends an episode.

    It has the name of Gymnasium's, for it has its state: what was saved of either goes on in the other.
    """

    def _add_info(self, vector_infos: dict[str, Any], env_info: dict[str, Any], env_num: int) -> dict[str, Any]:
        if not env_info:  # as in most steps, where a call would take longer than the rest
            return vector_infos
        if "final_obs" in env_info:  # handed over just before the reset
            env_info = env_info | {"final_obs": copy.deepcopy(env_info["final_obs"])}
        return super()._add_info(vector_infos, env_info, env_num)
