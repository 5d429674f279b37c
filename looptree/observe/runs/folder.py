"""The folder of a run: which files are in it, and what stands in those that are written when it begins.

settings.json       what the run was made with, by whom asked: algorithm, environment, seed
versions.json       of Python, of this machine's system, and of the packages that were loaded
description.json    the tree, for programs; description.html the same to look at
code.json           the generated code line by line, each with the step that stands on it
run.db              metrics, times, and changes of fields
"""

from __future__ import annotations

import json
import platform
import sys
from importlib import metadata

from looptree.core.loop import Loop

SETTINGS = "settings.json"
VERSIONS = "versions.json"
DESCRIPTION = "description.json"
DESCRIPTION_PAGE = "description.html"
CODE = "code.json"
DATABASE = "run.db"

_PACKAGES = ("looptree", "torch", "numpy", "gymnasium")


def versions_json() -> str:
    """The versions of what runs, as JSON."""
    found = {"python": platform.python_version(), "system": platform.platform()}
    for package in _PACKAGES:
        if package in sys.modules:
            found[package] = metadata.version(package)
    return json.dumps(found, indent=2) + "\n"


def code_json(loop: Loop) -> str:
    """The generated code of a loop and of those below as JSON: a pair for each line, of its text and the key of the
    hook or inner loop on it, or null."""
    lines = [[str(line), line.step.key if line.step is not None else None] for line in loop.code_lines]
    return json.dumps(lines, ensure_ascii=False) + "\n"
