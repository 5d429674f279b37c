"""The versions of what runs."""

from __future__ import annotations

import platform
import sys
from importlib import metadata

_PACKAGES = ("looptree", "torch", "numpy", "gymnasium")


def versions() -> dict[str, str]:
    """The versions of Python and of those packages that are loaded, by name."""
    loaded = (package for package in _PACKAGES if package in sys.modules)
    return {"python": platform.python_version(), **{package: metadata.version(package) for package in loaded}}
