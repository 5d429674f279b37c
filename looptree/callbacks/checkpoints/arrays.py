"""The arrays of a checkpoint in a file of safetensors, those of types that it does not know as bytes."""

from __future__ import annotations

import math
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file

from looptree.callbacks.checkpoints.dtypes import dtype_from_plain

# The types that are written as they are, by NumPy's name and by that of safetensors, with the bytes of a number.
_NATIVE = frozenset(["<f8", "<f4", "<f2", "<c8", "<i8", "<i4", "<i2", "|i1", "<u8", "<u4", "<u2", "|u1", "|b1"])
_ITEM_BYTES = {
    "F64": 8, "F32": 4, "F16": 2, "C64": 8, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2,
    "U8": 1, "BOOL": 1,
}  # fmt: skip


def write_arrays(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """Write arrays as they are, without a copy of those that have no gaps; they must not change meanwhile."""
    save_file({name: _storable(array) for name, array in arrays.items()}, path)


def _storable(array: NDArray[Any]) -> NDArray[Any]:
    """An array as safetensors can take it: without gaps, of a type that it knows."""
    if array.flags.f_contiguous and not array.flags.c_contiguous:
        array = array.T
    gapless = np.ascontiguousarray(array)
    if gapless.dtype.str in _NATIVE:
        return gapless
    return gapless.reshape(-1).view(np.uint8) if gapless.nbytes else np.empty(0, np.uint8)


class Arrays:
    """The arrays in a file.

    They are views of the file, which the system reads when they are looked at: a replay buffer that is copied into its
    place is never held twice.
    """

    def __init__(self, path: Path, file: BufferedReader) -> None:
        """`file` is the one at `path`, opened. Raises `SafetensorError` or `KeyError` where it is none of ours."""
        with safe_open(path, "np") as tensors:  # which finds out whether everything is within the file
            sizes = {name: _tensor_bytes(tensors.get_slice(name)) for name in tensors.offset_keys()}
        self._bytes = np.memmap(file, np.uint8, "c")
        self._places: dict[str, tuple[int, int]] = {}  # the first byte of each array, and their number
        start = len(self._bytes) - sum(sizes.values())
        for name, size in sizes.items():
            self._places[name] = start, size
            start += size

    def get(self, name: str, plain_dtype: Any, shape: list[int], order: str) -> NDArray[Any]:
        """The array of that name, with its type as `dtype_to_plain` told it, and its shape and order.

        Raises `KeyError`, `TypeError` or `ValueError` where there is none, or one of another size.
        """
        dtype = dtype_from_plain(plain_dtype)
        start, size = self._places[name]
        if not all(type(length) is int and length >= 0 for length in shape) or order not in ("C", "F"):
            raise ValueError(f"{name!r} has shape {shape!r}, order {order!r}")
        if dtype.itemsize * math.prod(shape) != size:
            raise ValueError(f"{name!r} has {size} bytes, which are not {shape!r} of {dtype}")
        return np.ndarray(shape, dtype, self._bytes, start, order="F" if order == "F" else "C")


def _tensor_bytes(tensor: Any) -> int:
    shape: list[int] = tensor.get_shape()
    return _ITEM_BYTES[tensor.get_dtype()] * math.prod(shape)
