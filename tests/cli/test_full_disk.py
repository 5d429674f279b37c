"""looptree train on disks that are really full: where what it has made is in the end, and what it says."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from looptree.observe.runs import Run

REPOSITORY = Path(__file__).resolve().parents[2]

# In a small file system of its own, which is gone with the process: a run, and what lies in its folder in the end.
IN_A_SMALL_DISK = """
unshare --user --map-root-user --mount sh -c '
    mount -t tmpfs -o size=$SIZE none "$0" && { "$@"; status=$?; cp -r "$0" "$0-afterwards"; exit $status; }
' "$@"
"""

# Fills the disk as soon as the run has begun, with its first checkpoint, and makes room again after some seconds, if it
# is to.
FILLED = """
import contextlib, subprocess, sys, time
from pathlib import Path

disk, room, *command = sys.argv[1:]
with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
    while process.poll() is None and not Path(disk, "run", "checkpoints", "000000000000").exists():
        time.sleep(0.01)
    with contextlib.suppress(OSError), Path(disk, "filler").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(512))
    if room == "room again":
        time.sleep(3)
        Path(disk, "filler").unlink()
    sys.stderr.write(process.stderr.read())
sys.exit(process.returncode)
"""


def trained(tmp_path, size, *options, fill=()):
    disk, temporary = tmp_path / "disk", tmp_path / "temporary"
    disk.mkdir()
    temporary.mkdir()
    filling = [sys.executable, "-c", FILLED, str(disk), *fill] if fill else []
    command = [
        sys.executable,
        "-m",
        "looptree.cli",
        "train",
        "dqn",
        "CartPole-v1",
        "--out",
        str(disk / "run"),
        *options,
    ]
    done = subprocess.run(
        ["sh", "-c", IN_A_SMALL_DISK, "sh", str(disk), *filling, *command],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), "TMPDIR": str(temporary), "SIZE": size},
    )
    if "unshare:" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"no file system can be mounted here: {done.stderr}")
    return done, tmp_path / "disk-afterwards" / "run", sorted(temporary.iterdir())


def test_an_agent_that_is_too_large_for_the_disk_is_somewhere_else(tmp_path):
    done, folder, (elsewhere,) = trained(
        tmp_path, "1m", "--steps", "1_280", "--hidden-sizes", "600", "600", "--evaluation-episodes", "1"
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "agent.npz cannot be written: No space left on device. " in done.stderr
    assert f"It is in {elsewhere} instead, with the results; move them to {tmp_path}/disk/run." in done.stderr
    assert "looptree: there is no report. " in done.stderr
    assert Run(folder).ended == "ran all 5 items"
    results = json.loads((elsewhere / "results.json").read_text())
    assert results["env_steps"] == 1_280 and results["train_s"] == pytest.approx(Run(folder).seconds)
    with np.load(elsewhere / "agent.npz") as agent:
        assert all(np.isfinite(agent[name]).all() for name in agent.files) and len(agent.files) == 6
    assert not (folder / "agent.npz").exists() and not list(folder.glob("*.part"))


def test_a_run_on_a_disk_that_stays_full_is_somewhere_else(tmp_path):
    done, folder, (elsewhere,) = trained(tmp_path, "16m", "--steps", "5_120", fill=["no room"])
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert f"The whole run, but for its checkpoints, is in {elsewhere}; move it to where it is safe." in done.stderr
    assert f"\nrun: {elsewhere}\n" in done.stdout
    run = Run(elsewhere)
    assert (run.passes, run.passes_done, run.steps, run.ended) == (20, 20, 5_120, "ran all 20 items")
    assert json.loads((elsewhere / "results.json").read_text())["env_steps"] == 5_120
    assert (elsewhere / "agent.npz").exists() and (elsewhere / "report.html").exists()
    assert Run(folder).passes < 20  # as far as there was room


def test_a_disk_that_has_room_again_has_it_all(tmp_path):
    done, folder, elsewhere = trained(tmp_path, "16m", "--steps", "10_240", fill=["room again"])
    assert (done.returncode, elsewhere) == (0, []), done.stderr
    assert done.stderr.count("cannot be written at present, and it is tried again") <= 1
    run = Run(folder)
    assert (folder / "agent.npz").exists() and (folder / "report.html").exists()
    assert (run.passes, run.passes_done, run.ended) == (40, 40, "ran all 40 items")
