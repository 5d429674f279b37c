"""Finite: where a number is NaN or infinite a run stops, before anything is learnt from it, and says where it is from.

What environments give is looked at with each of their steps, a loss and its gradient's length with each gradient step;
that costs next to nothing. Only where one is not finite, the fields behind it are gone through, in the order in which
the hooks of the plan write them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from looptree.core.hook import phase_fits
from looptree.core.loop import Loop
from looptree.core.node import ancestry
from looptree.core.plan import HookPlan
from looptree.rl.errors import NotFinite

_FEW = 64  # numbers that Python adds up sooner than NumPy has begun


def all_finite(values: NDArray[Any]) -> bool:
    """Whether no number of an array is NaN or infinite; of packed observations (see `packed`), none of any entry."""
    if values.dtype.kind != "f":
        return all(all_finite(values[name]) for name in values.dtype.names or ())
    if values.size <= _FEW and math.isfinite(sum(values.ravel().tolist())):
        return True
    return bool(np.isfinite(values).all())


def check_given(name: str, values: NDArray[Any], source: Any) -> None:
    """Raise `NotFinite` where what the environments of a source gave, `(envs, ...)`, is not finite."""
    if all_finite(values):
        return
    place, number = next(_not_finite(name, values))
    raise NotFinite(
        f"{place} of {source.environments} is {number:g} after {source.env_steps:,} env steps; the first index is the "
        f"environment's. Nothing is kept of that step. What an environment gives has to be finite: look there for a "
        f"division by 0, for the logarithm or the root of a number that may be negative, and for a simulation that "
        f"some action drives out of bounds."
    )


def check_learnt(update: Any, loss: float, gradient_norm: float) -> None:
    """Raise `NotFinite` where the loss of an `Update`, or the length of its gradient, is not finite."""
    if math.isfinite(loss) and math.isfinite(gradient_norm):
        return
    learner = update.learner
    rates = ", ".join(f"{group['lr']:g}" for group in update.optimizer.param_groups)
    raise NotFinite(
        f"The loss of {learner.name} is {loss:g} and the length of its gradient {gradient_norm:g}, in gradient step "
        f"{learner.gradient_steps + 1:,} after {learner.env_steps:,} env steps. {_origin(update)} The parameters are "
        f"as they were before this step. Look at what that hook works out, at the learning rate ({rates}), and at the "
        f"size of the rewards."
    )


def _origin(update: Any) -> str:
    """Where the numbers that are not finite begin."""
    for (owner, name), hooks in _written(update).items():
        for place, number in _not_finite(name, getattr(owner, name, None)):
            wrote = ", then ".join(f"{hook.label} ({hook.source})" for hook in hooks)
            return f"The first field that is not finite is {place}, {number:g}; it was written by {wrote}."
    return f"The fields that it is worked out from are finite; {type(update).__name__}.on_step works it out."


def _written(update: Loop) -> dict[tuple[Any, str], list[HookPlan]]:
    """The fields, as owner and name, that are written on the way to a gradient step, in the order in which they have
    their last value, each with the hooks that write it: hooks of the loops further out, up to where they call the next
    one in, and of the update itself."""
    plans = {plan.path: plan for plan in update.root.plan.walk()}
    owners = {path: plan.target for path, plan in plans.items()}
    owners |= {f"{path}.{each.name}": each.target for path, plan in plans.items() for each in plan.callbacks}
    inwards = [*ancestry(update)][::-1]
    found: dict[tuple[Any, str], list[HookPlan]] = {}
    for loop, inner in itertools.zip_longest(inwards, inwards[1:]):
        for step in plans[loop.path].steps():
            if step.target is inner:
                break
            if isinstance(step, HookPlan) and phase_fits(step.phase, update.phase):
                for path, _, name in (field.rpartition(".") for field in step.writes):
                    if path in owners:
                        hooks = found.pop((owners[path], name), [])
                        found[owners[path], name] = [*hooks, step]
    return found


def _not_finite(name: str, value: Any) -> Iterator[tuple[str, float]]:
    """The numbers in a field that are not finite, with the place of each in it."""
    if isinstance(value, Tensor) and value.is_floating_point():
        value = value.detach().double().numpy()
    if isinstance(value, float) and not math.isfinite(value):
        yield name, value
    elif isinstance(value, np.ndarray) and value.dtype.names is not None:
        for entry in value.dtype.names:
            yield from _not_finite(f"{name}[{entry!r}]", value[entry])
    elif isinstance(value, np.ndarray) and value.dtype.kind == "f":
        for index in np.argwhere(~np.isfinite(value)):
            yield f"{name}{index.tolist() or ''}", float(value[tuple(index)])
    elif isinstance(value, tuple | list):
        names = getattr(value, "_fields", None)
        for number, part in enumerate(value):
            yield from _not_finite(f"{name}.{names[number]}" if names else f"{name}[{number}]", part)
