"""How classes, files and lines are named in attributes, paths and messages."""

from __future__ import annotations

import builtins
import functools
import os
import re
from collections.abc import Container
from types import CodeType
from typing import Any

_WORD_STARTS = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z0-9])(?=[A-Z][a-z])")
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


@functools.cache
def snake_case(name: str) -> str:
    """The name of a class as an attribute: `GymSource` is `gym_source`, `D3QN` is `d3qn`."""
    return _WORD_STARTS.sub("_", name).lower().lstrip("_")


def class_names(cls: type) -> frozenset[str]:
    """The snake-case names of a class and of all its bases: the names by which a loop is found from inside."""
    return frozenset(snake_case(base.__name__) for base in cls.__mro__)


def free_name(name: str, taken: Container[str]) -> str:
    """`name`, or the first of `name_2`, `name_3`... that `taken` does not contain."""
    number, candidate = 1, name
    while candidate in taken:
        number += 1
        candidate = f"{name}_{number}"
    return candidate


def short_path(filename: str) -> str:
    """A file as people name it: from the package's folder, from the working folder, or its bare name; a cell of a
    notebook by its number, `In[3]`."""
    return _cell(filename) or _short_path(filename)


def _cell(filename: str) -> str | None:
    """The cell of which IPython says that it ran it under that name of a file."""
    shell = getattr(builtins, "get_ipython", lambda: None)()
    name_of = getattr(getattr(shell, "compile", None), "format_code_name", None)  # which old ones do not have
    named = name_of(filename) if name_of is not None else None
    return named[1] if named is not None else None


@functools.lru_cache(maxsize=4096)
def _short_path(filename: str) -> str:
    if filename.startswith("<"):
        return filename
    absolute = os.path.abspath(filename)
    for folder in (os.path.dirname(_PACKAGE), os.getcwd()):
        if absolute.startswith(folder + os.sep):
            return os.path.relpath(absolute, folder).replace(os.sep, "/")
    return os.path.basename(filename)


def code_place(code: CodeType) -> str:
    """`file:line` of the `def` of a function."""
    return f"{short_path(code.co_filename)}:{code.co_firstlineno}"


def class_place(cls: Any) -> str:
    """`file:line` of the class statement of a loop's or callback's class."""
    filename, line = cls._defined_at
    return f"{short_path(filename)}:{line}"
