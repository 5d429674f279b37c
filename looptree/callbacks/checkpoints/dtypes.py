"""Types of arrays as JSON, structured ones included."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

# Of fixed size, and nothing that NumPy would look further into: no Python objects, no lists of fields in a string.
_SIMPLE = re.compile(r"[<>|][biufcSUV][0-9]{1,9}|[<>][mM]8(\[[0-9]{0,9}[A-Za-z]{1,2}\])?")


def dtype_to_plain(dtype: np.dtype[Any]) -> Any:
    """A type as strings, numbers and containers of those. Raises `ValueError` where it cannot be told so exactly."""
    plain = _plain(dtype)
    if dtype_from_plain(plain) != dtype:
        raise ValueError(f"arrays of type {dtype} cannot be told exactly")
    return plain


def _plain(dtype: np.dtype[Any]) -> Any:
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return {"base": _plain(base), "shape": list(shape)}
    if dtype.fields is not None and dtype.names is not None:
        fields = [dtype.fields[name] for name in dtype.names]
        return {
            "names": list(dtype.names),
            "formats": [_plain(field[0]) for field in fields],
            "offsets": [field[1] for field in fields],
            "titles": [_title(*field[2:]) for field in fields],
            "itemsize": dtype.itemsize,
        }
    return dtype.str


def _title(title: Any = None) -> str | None:
    """The second name of a field, which NumPy allows to be anything."""
    return None if title is None else str(title)


def dtype_from_plain(plain: Any) -> np.dtype[Any]:
    """The type of which `dtype_to_plain` told. Raises `ValueError` or `TypeError` where there is no such type."""
    if isinstance(plain, str):
        if not _SIMPLE.fullmatch(plain):
            raise ValueError(f"{plain!r} is no type of numbers or text")
        return np.dtype(plain)
    if "base" in plain:
        return np.dtype((dtype_from_plain(plain["base"]), tuple(plain["shape"])))
    return np.dtype(
        {
            "names": plain["names"],
            "formats": [dtype_from_plain(each) for each in plain["formats"]],
            "offsets": plain["offsets"],
            "titles": plain["titles"],
            "itemsize": plain["itemsize"],
        }
    )
