"""Callbacks for any loop: a progress bar, early stop, schedules of fields, a Ctrl-C that ends well."""

from __future__ import annotations

import importlib
from typing import Any

from looptree.callbacks.early_stop import EarlyStop
from looptree.callbacks.interrupt import GracefulInterrupt
from looptree.callbacks.schedule import Schedule, cosine, exponential, linear

__all__ = ["EarlyStop", "GracefulInterrupt", "Progress", "Schedule", "cosine", "exponential", "linear"]


def __getattr__(name: str) -> Any:
    if name != "Progress":
        raise AttributeError(f"module 'looptree.callbacks' has no attribute {name!r}")
    return importlib.import_module("looptree.callbacks.progress").Progress  # which needs rich
