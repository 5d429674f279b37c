"""State trees taken apart into what JSON can hold and arrays, and put together again: exactly, to the last bit.

JSON's own values stand for themselves. Everything else is an object with the key "$", which says what it is:
a tuple, a NaN, an array by its name. A dict that JSON could not hold (other keys than strings) is a list of pairs.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from looptree.callbacks.checkpoints.dtypes import dtype_to_plain
from looptree.callbacks.checkpoints.errors import UnsavableState
from looptree.callbacks.checkpoints.layout import LARGEST_TEXT
from looptree.core.names import free_name

_DEEPEST = 100  # containers in containers: far more than states have, far less than JSON can be read back with
_WHY_NOT = "why_not_"


@dataclass
class Parts:
    """A state taken apart.

    Where a state says `why_not_x`, a sentence, its `x` could not be saved because of that.
    """

    text: bytes = b""  # everything but the arrays, as JSON
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)  # those of the state itself, by name
    saved: list[str] = field(default_factory=list)  # paths in the state
    not_saved: dict[str, str] = field(default_factory=dict)  # paths in the state, each with the reason

    @property
    def nbytes(self) -> int:
        """The bytes of all arrays."""
        return sum(array.nbytes for array in self.arrays.values())

    def copy(self) -> Parts:
        """The same with arrays of its own, which later training does not change."""
        return replace(self, arrays={name: array.copy("K") for name, array in self.arrays.items()})


def taken_apart(state: Any) -> Parts:
    """A state as JSON and arrays.

    Raises:
        UnsavableState: the state holds something else than arrays, numbers, strings and plain containers of those, or
            too much beside arrays.
    """
    parts = Parts()
    parts.text = json.dumps(_taken(state, "", 0, parts), allow_nan=False).encode()
    size = len(parts.text) + sum(map(len, parts.saved))
    if size > LARGEST_TEXT // 2:  # the manifest has the paths in some more characters
        raise UnsavableState(
            f"Without its arrays the state is {size / 2**20:.0f} MiB; up to {LARGEST_TEXT / 2**21:.0f} MiB can be "
            f"written. Keep long lists of numbers as NumPy arrays."
        )
    return parts


def _taken(value: Any, path: str, depth: int, parts: Parts) -> Any:
    kind = type(value)
    if value is None or kind is bool:
        return value
    if kind in _LEAVES:
        return _LEAVES[kind](value)
    if depth == _DEEPEST:
        raise UnsavableState(f"The state has more than {_DEEPEST} containers in one another, or one in itself: {path}.")
    if kind is dict:
        return _taken_dict(value, path, depth, parts)
    if kind in _CONTAINERS:
        members = [_taken(member, f"{path}/{number}", depth + 1, parts) for number, member in enumerate(value)]
        return members if kind is list else {"$": kind.__name__, "of": members}
    if kind is np.ndarray or issubclass(kind, np.generic):
        return _taken_array(value, path, parts)
    raise UnsavableState(
        f"{path or 'The state'} is of type {kind.__module__}.{kind.__qualname__}, which cannot be written into a "
        f"checkpoint. Let state_dict() give arrays, numbers, strings, and dicts, lists and tuples of those; instead of "
        f"a tensor, tensor.detach().cpu().numpy()."
    )


def _taken_dict(value: dict[Any, Any], path: str, depth: int, parts: Parts) -> Any:
    if not all(map(_is_name, value)):
        return {
            "$": "dict",
            "of": [
                [_taken(key, f"{path}/{key!r}", depth + 1, parts), _taken(member, f"{path}/{key!r}", depth + 1, parts)]
                for key, member in value.items()
            ],
        }
    for key, member in value.items():
        reason = value.get(_WHY_NOT + key)
        if type(reason) is str and reason:
            parts.not_saved[f"{path}/{key}"] = reason
        elif type(member) is not dict:
            parts.saved.append(f"{path}/{key}")
    return {key: _taken(member, f"{path}/{key}", depth + 1, parts) for key, member in value.items()}


def _taken_array(value: Any, path: str, parts: Parts) -> dict[str, Any]:
    array = np.asarray(value)
    try:
        dtype = dtype_to_plain(array.dtype)
    except (ValueError, TypeError) as error:
        raise UnsavableState(
            f"{path} has type {array.dtype}, which cannot be written into a checkpoint: {error}. Arrays of numbers, "
            f"text, or structures of those would fit."
        ) from error
    name = free_name(path.encode(errors="backslashreplace").decode(), parts.arrays)
    parts.arrays[name] = array
    fortran = array.flags.f_contiguous and not array.flags.c_contiguous
    return {
        "$": "array" if type(value) is np.ndarray else "scalar",
        "name": name,
        "dtype": dtype,
        "shape": list(array.shape),
        "order": "F" if fortran else "C",
    }


def put_together(tree: Any, array: Callable[[str, Any, list[int], str], NDArray[Any]]) -> Any:
    """The state of which `taken_apart` gave the tree; `array(name, dtype, shape, order)` gives its arrays.

    Raises `ValueError`, `TypeError`, `KeyError`, `RecursionError` or `struct.error` where `taken_apart` gave no such
    tree.
    """
    if isinstance(tree, list):
        return [put_together(member, array) for member in tree]
    if not isinstance(tree, dict):
        return tree
    if "$" not in tree:
        return {key: put_together(member, array) for key, member in tree.items()}
    match tree["$"]:
        case "dict":
            return {put_together(key, array): put_together(member, array) for key, member in tree["of"]}
        case "tuple" | "set" | "frozenset" as kind:
            return _CONTAINERS_BY_NAME[kind](put_together(member, array) for member in tree["of"])
        case "array":
            return array(tree["name"], tree["dtype"], tree["shape"], tree["order"])
        case "scalar":
            return array(tree["name"], tree["dtype"], tree["shape"], tree["order"])[()]
        case kind:
            return _READ[kind](tree["as"])


def _is_name(key: Any) -> bool:
    """Whether a key of a dict can be one of JSON's objects."""
    return type(key) is str and key != "$" and _is_text(key)


def _is_text(value: str) -> bool:
    """Whether a string is text: halves of surrogate pairs are none."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _str(value: str) -> Any:
    return value if _is_text(value) else {"$": "str", "as": value.encode(errors="surrogatepass").hex()}


def _int(value: int) -> Any:
    return value if -(2**63) <= value < 2**63 else {"$": "int", "as": hex(value)}


def _float(value: float) -> Any:
    return value if math.isfinite(value) else {"$": "float", "as": struct.pack(">d", value).hex()}


def _complex(value: complex) -> Any:
    return {"$": "complex", "as": struct.pack(">dd", value.real, value.imag).hex()}


_LEAVES: dict[type, Callable[[Any], Any]] = {
    str: _str,
    int: _int,
    float: _float,
    complex: _complex,
    bytes: lambda value: {"$": "bytes", "as": value.hex()},
    np.str_: lambda value: {"$": "np.str_", "as": value.encode(errors="surrogatepass").hex()},
    np.bytes_: lambda value: {"$": "np.bytes_", "as": value.hex()},
}

_READ: dict[str, Callable[[str], Any]] = {
    "str": lambda text: bytes.fromhex(text).decode(errors="surrogatepass"),
    "int": lambda text: int(text, 16),
    "float": lambda text: struct.unpack(">d", bytes.fromhex(text))[0],
    "complex": lambda text: complex(*struct.unpack(">dd", bytes.fromhex(text))),
    "bytes": bytes.fromhex,
    "np.str_": lambda text: np.str_(bytes.fromhex(text).decode(errors="surrogatepass")),
    "np.bytes_": lambda text: np.bytes_(bytes.fromhex(text)),
}

_CONTAINERS = (list, tuple, set, frozenset)
_CONTAINERS_BY_NAME: dict[str, Callable[[Any], Any]] = {kind.__name__: kind for kind in _CONTAINERS}
