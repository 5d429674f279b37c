"""Every example runs, shows its tree or its finding, and gives no warning: neither looptree's nor anybody else's."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"

SHOWS = {
    "custom_exploration.py": [
        "├─ on_select  boltzmann · instead of Agent.on_select · in train ",
        "└─ on_select  otherwise ",
        "ran all 16 items",
    ],
    "early_stopping.py": [
        "├─ before_pass  schedule ",
        "stopped by EarlyStop.after_pass: no improvement in 5 valid phases",
    ],
    "gan.py": [
        "generator changed by {'Generate.on_step': 600}",
        "discriminator changed by {'Discriminate.on_step': 600}",
    ],
    "k_fold.py": [
        "│  │  └─ on_batches  batches: Batches · its items() ",
        "penalty 0.0: loss 0.2",
        "penalty 1.0: loss 2.3",
    ],
    "meta_learning.py": [
        "│  ├─ on_adapt  adapt: Adapt · 10 passes ",
        " 5000 tasks: loss ",
        "ran all 5,000 items",
    ],
    "seeing_a_stale_network.py": [
        "dqn.network                     120      QUpdate.on_step (120)  QNetwork of 6 tensors",
        "dqn.source.agent.network        0        -                      QNetwork of 6 tensors",
        "dqn.source.agent.network        120      QUpdate.on_step (120)  same object as dqn.network",
    ],
}


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("*.py")))
def test_an_example_runs_without_a_warning_and_shows_what_it_promises(name):
    one_thread = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / name)],
        env=os.environ | {"PYTHONPATH": str(EXAMPLES.parent)} | one_thread,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    for line in SHOWS[name]:
        assert line in done.stdout
