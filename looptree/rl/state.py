"""States of modules, optimizers and random generators as plain containers of arrays, numbers and strings."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from looptree.core.errors import StateMismatch
from looptree.rl.optimizers import Optimizer


def to_arrays(value: Any) -> Any:
    """A copy of nested dicts, lists and tuples in which every tensor has become an array of its own."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().numpy().copy()
    if isinstance(value, dict):
        return {key: to_arrays(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(to_arrays(member) for member in value)
    return value


def to_tensors(value: Any) -> Any:
    """A copy of nested dicts, lists and tuples in which every array has become a tensor of its own."""
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value.copy())
    if isinstance(value, dict):
        return {key: to_tensors(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(to_tensors(member) for member in value)
    return value


def module_state(module: nn.Module) -> dict[str, Any]:
    """The parameters and buffers of a module by name, as arrays that later training does not change."""
    return {name: to_arrays(value) for name, value in module.state_dict().items()}


def load_module_state(module: nn.Module, state: dict[str, Any]) -> None:
    """Copy what `module_state` gave into the module's own tensors, so that all who hold them see it.

    Raises `StateMismatch` where the state is of a module with other tensors.
    """
    own = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    theirs = {name: values.shape for name, values in state.items()}
    for name in {**own, **theirs}:
        given, fits = (f"in shape {shapes[name]}" if name in shapes else "not" for shapes in (theirs, own))
        if given != fits:
            raise StateMismatch(
                f"The state has {name!r} {given}, this {type(module).__name__} {fits}; make it as in the run "
                f"that was saved."
            )
    module.load_state_dict(to_tensors(state))


def optimizer_state(optimizer: Optimizer) -> dict[str, Any]:
    """The moments, step counts and settings of an optimizer; parameters go by their number in it."""
    state: dict[str, Any] = to_arrays(optimizer.state_dict())
    return state


def load_optimizer_state(optimizer: Optimizer, state: dict[str, Any]) -> None:
    """Give an optimizer of the same parameters, in the same order, what `optimizer_state` gave."""
    optimizer.load_state_dict(to_tensors(state))


def generator_state(generator: np.random.Generator) -> dict[str, Any]:
    """Where a NumPy generator stands: the name of its bit generator with its numbers."""
    return dict(generator.bit_generator.state)


def generator_from(state: dict[str, Any]) -> np.random.Generator:
    """A NumPy generator that goes on where `generator_state` was taken.

    Raises `StateMismatch` where NumPy has none of its kind.
    """
    name = state["bit_generator"]
    kind = getattr(np.random, name, None) if isinstance(name, str) else None
    if not (isinstance(kind, type) and issubclass(kind, np.random.BitGenerator)):
        raise StateMismatch(f"The state is of a random generator of kind {name!r}, which NumPy does not have.")
    bit_generator: np.random.BitGenerator = kind()
    bit_generator.state = state
    return np.random.Generator(bit_generator)
