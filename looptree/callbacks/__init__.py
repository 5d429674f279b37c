"""Callbacks for any loop: a progress bar, checkpoints, early stop, schedules of fields, a Ctrl-C that ends well."""

from __future__ import annotations

import importlib
from typing import Any

from looptree.callbacks.early_stop import EarlyStop
from looptree.callbacks.interrupt import GracefulInterrupt
from looptree.callbacks.schedule import Schedule, cosine, exponential, linear

# Names that need a package beside the standard library, which load on first use.
_LATER = {"Checkpoint": "looptree.callbacks.checkpoints", "Progress": "looptree.callbacks.progress"}

__all__ = ["Checkpoint", "EarlyStop", "GracefulInterrupt", "Progress", "Schedule", "cosine", "exponential", "linear"]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'looptree.callbacks' has no attribute {name!r}")
    return getattr(importlib.import_module(_LATER[name]), name)
