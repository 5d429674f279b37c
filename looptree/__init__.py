"""looptree: training loops as a tree you can see through.

A `Loop` has hooks, phases, inner loops and callbacks; it compiles to the plain Python that a careful person would have
typed. `print(loop)` shows what runs, `print(loop.code)` the Python, `Profile` where the time goes, `Trace` who changed
what.
"""

from __future__ import annotations

import importlib
from typing import Any

from looptree.core.callback import Callback
from looptree.core.errors import BindingError, FieldWarning, LooptreeError
from looptree.core.hook import Hook, in_phase
from looptree.core.loop import Loop
from looptree.core.phase import Phase
from looptree.core.signals import Cancel

# Names of higher floors, which load on first use: `import looptree` needs the standard library only.
_LATER = {
    "describe": "looptree.observe.describe",
    "Profile": "looptree.observe.profile",
    "Trace": "looptree.observe.trace",
    "Progress": "looptree.callbacks.progress",
    "Checkpoint": "looptree.callbacks.checkpoints",
    "EarlyStop": "looptree.callbacks.early_stop",
    "Schedule": "looptree.callbacks.schedule",
}

__all__ = [
    "BindingError",
    "Callback",
    "Cancel",
    "FieldWarning",
    "Hook",
    "Loop",
    "LooptreeError",
    "Phase",
    "in_phase",
]  # without the later ones: `from looptree import *` works wherever looptree does


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'looptree' has no attribute {name!r}")
    value = getattr(importlib.import_module(_LATER[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, *_LATER]
