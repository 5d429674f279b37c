"""MuJoCo's own states, of environments that simulate with it (Todorov et al. 2012, MuJoCo: A physics engine for
model-based control).

A step goes from the integration state to the next one. Beside it stands what the latest step has worked out on its way,
such as positions in space; environments read that before they make the next step, so it is a part of where they are.
"""

from __future__ import annotations

import hashlib
import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from looptree.core.errors import StateMismatch
from looptree.rl.errors import EnvironmentStateError


def is_mujoco(thing: Any) -> bool:
    """Whether a thing is a model of MuJoCo, or the data of a simulation with it."""
    return type(thing).__module__.startswith("mujoco.") and type(thing).__name__ in ("MjModel", "MjData")


def mujoco_state(thing: Any) -> dict[str, Any]:
    """The state of the data of a simulation, and of a model, which does not change, what tells it from others.

    Raises `EnvironmentStateError` for a model with plugins, whose state may be anywhere.
    """
    mujoco = importlib.import_module("mujoco")
    if isinstance(thing, mujoco.MjModel):
        return {"sha256": _digest(thing)}
    model = thing.model
    if model.nplugin:
        raise EnvironmentStateError(f"MjData is of a model with {model.nplugin} plugins of MuJoCo.")
    integration = np.empty(mujoco.mj_stateSize(model, mujoco.mjtState.mjSTATE_INTEGRATION))
    mujoco.mj_getState(model, thing, integration, mujoco.mjtState.mjSTATE_INTEGRATION)
    return {"integration": integration, "worked_out": {name: array.copy() for name, array in _buffer(thing).items()}}


def load_mujoco_state(thing: Any, state: dict[str, Any]) -> None:
    """Bring the data of a simulation where `mujoco_state` found another of the same model.

    Raises `StateMismatch` where the model is another one, and `EnvironmentStateError` where it was changed.
    """
    mujoco = importlib.import_module("mujoco")
    if isinstance(thing, mujoco.MjModel):
        if state["sha256"] != _digest(thing):
            raise EnvironmentStateError(
                "MjModel is not as it was made: the environment, or a newer MuJoCo, changes it."
            )
        return
    buffer = _buffer(thing)
    shapes = {name: array.shape for name, array in buffer.items()}
    size = mujoco.mj_stateSize(thing.model, mujoco.mjtState.mjSTATE_INTEGRATION)
    if {name: array.shape for name, array in state["worked_out"].items()} != shapes or len(
        state["integration"]
    ) != size:
        raise StateMismatch(
            "The state is of another model of MuJoCo; make the environments as in the run that was saved."
        )
    mujoco.mj_setState(thing.model, thing, state["integration"], mujoco.mjtState.mjSTATE_INTEGRATION)
    for name, array in buffer.items():
        array[:] = state["worked_out"][name]


def _buffer(data: Any) -> dict[str, NDArray[np.float64]]:
    """All that a simulation works out in numbers of floating point, by name: what stands in the one piece of memory
    that begins with `qpos`. The rest are contacts and constraints, found anew by each step in memory of their own, and
    places in arrays, which nobody should take from a file."""
    begin = data.qpos.ctypes.data
    arrays = {name: getattr(data, name) for name in dir(type(data)) if not name.startswith("_")}
    return {
        name: array
        for name, array in arrays.items()
        if isinstance(array, np.ndarray)
        and array.dtype == np.float64
        and array.size
        and begin <= array.ctypes.data < begin + data.nbuffer
    }


def _digest(model: Any) -> str:
    mujoco = importlib.import_module("mujoco")
    compiled = np.empty(mujoco.mj_sizeModel(model), np.uint8)
    mujoco.mj_saveModel(model, None, compiled)
    return hashlib.sha256(compiled.tobytes()).hexdigest()
