"""Results: what a training run leaves in its folder when it has ended."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from looptree.observe.runs.folder import NotReadable, json_in
from looptree.observe.save import save_whole

RESULTS = "results.json"
AGENT = "agent.npz"


def save_agent(folder: Path, agent: dict[str, Any]) -> None:
    """Write the agent's parameters by name, for `numpy.load`; results that are there are of the one before it, and go.

    Raises:
        CannotSave: the folder cannot be written.
    """
    weights = io.BytesIO()
    np.savez(weights, allow_pickle=False, **agent)
    save_whole(weights.getvalue(), folder / AGENT)
    (folder / RESULTS).unlink(missing_ok=True)


def save_results(folder: Path, results: dict[str, Any]) -> None:
    """Write the results, when their agent is written.

    Raises:
        CannotSave: the folder cannot be written.
    """
    save_whole(json.dumps(results, indent=2, allow_nan=False) + "\n", folder / RESULTS)


def results_of(folder: Path) -> dict[str, Any]:
    """The results of a run; none where it has not come to its end."""
    try:
        found = json_in(folder, RESULTS)
    except NotReadable:
        return {}
    return found if isinstance(found, dict) else {}
