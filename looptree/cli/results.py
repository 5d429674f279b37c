"""Results: what a training run leaves in its folder when it has ended."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from looptree.observe.save import save_whole

RESULTS = "results.json"
AGENT = "agent.npz"


def save_results(folder: Path, results: dict[str, Any], agent: dict[str, Any]) -> None:
    """Write the agent's parameters by name, for `numpy.load`, and then the results.

    Raises:
        CannotSave: the folder cannot be written.
    """
    weights = io.BytesIO()
    np.savez(weights, allow_pickle=False, **agent)
    save_whole(weights.getvalue(), folder / AGENT)
    save_whole(json.dumps(results, indent=2, allow_nan=False) + "\n", folder / RESULTS)


def with_words(values: Any) -> Any:
    """Nested dicts in which infinite numbers, which JSON has no way to write, are the words "inf" and "-inf"."""
    if isinstance(values, dict):
        return {name: with_words(value) for name, value in values.items()}
    return str(values) if isinstance(values, float) and math.isinf(values) else values
