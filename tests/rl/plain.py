"""What a state dict may hold."""

from __future__ import annotations

from typing import Any

import numpy as np


def assert_plain(value: Any, at: str = "state") -> None:
    """Every member is an array, a number, a string, None, or a plain container of these."""
    if type(value) is dict:
        for key, member in value.items():
            assert type(key) in (str, int), f"{at} has the key {key!r}"
            assert_plain(member, f"{at}[{key!r}]")
    elif type(value) in (list, tuple):
        for number, member in enumerate(value):
            assert_plain(member, f"{at}[{number}]")
    elif type(value) is np.ndarray:
        assert not value.dtype.hasobject, at
    else:
        assert value is None or isinstance(value, bool | int | float | complex | str | bytes | np.generic), (
            f"{at} is {value!r}"
        )
