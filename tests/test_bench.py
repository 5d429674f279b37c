"""The benchmark runs and prints its rows; what they say is for a quiet machine, not for a test."""

import json
import subprocess
import sys
from pathlib import Path

OVERHEAD = Path(__file__).resolve().parents[1] / "bench" / "overhead.py"


def overhead(*options: str) -> str:
    command = [sys.executable, str(OVERHEAD), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_each_figure_stands_beside_its_bar() -> None:
    printed = overhead("--quick")
    for name in (
        "by hand, 3 callbacks",
        "looptree, 0 callbacks",
        "looptree, 3 callbacks",
        "looptree, 10 callbacks",
        "looptree, 3, Profile",
        "looptree, 3, Trace of one field",
        "looptree, 3, Trace of all fields",
        "a field read in a hook",
        "a field written in a hook",
        "a read that goes on to the parent",
        "binding 10 loops and 200 hooks",
        "import looptree",
    ):
        assert sum(line.strip().startswith(name) for line in printed.splitlines()) == 1, printed
    assert "at most 1.20 x" in printed


def test_the_rows_come_as_json_too() -> None:
    rows = {row["name"]: row for row in json.loads(overhead("--quick", "--json"))}
    row = rows["looptree, 3 callbacks"]
    assert row["at_most"] == 1.2
    assert row["verdict"] in ("ok", "MISS")
    assert set(row["figures"]) == {"ns", "times"}
