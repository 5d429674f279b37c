"""Disks that are really full while a run is recorded: nothing is lost when there is room again, and all is said."""

import json
import math
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from looptree import Loop
from looptree.observe.runs import Recorder, Run

REPOSITORY = Path(__file__).resolve().parents[2]

# What fills the disk, in a process of its own: the arguments are the folder and how.
SCRIPT = """
import contextlib, json, resource, sys, threading, time, warnings
from pathlib import Path
from looptree import Loop
from looptree.observe.runs import Recorder, Run
from tests.memory import most_mb

folder, how = Path(sys.argv[1]), sys.argv[2]

class Counting(Loop):
    value: float
    pause_s = 0.0

    def on_step(self):
        self.value = self.count / 2
        if self.pause_s:
            time.sleep(self.pause_s)

@contextlib.contextmanager
def full():
    if how == "by a limit":
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1, before[1]))
        yield
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    else:
        filler = folder / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(512))
        yield
        filler.unlink()

said = warnings.catch_warnings(record=True)
with said as messages:
    warnings.simplefilter("always")
    loop, room = Counting(), contextlib.ExitStack()
    with Recorder(loop, folder / "run", metrics=("value",)) as recorder:
        loop.run(100)
        time.sleep(1)  # so that these are on the disk
        room.enter_context(full())
        {meanwhile}
    {after}
    run = Run(recorder.folder)
    curve = run.metric("value")
    print(json.dumps([
        str(recorder.folder), [str(each.message) for each in messages], run.passes, run.passes_done, run.ended,
        [value == number / 2 for number, value in zip(curve.passes, curve.values)].count(False), curve.passes[-1],
        most_mb(),
    ]))
"""

# In a small file system of its own, which is gone with the process.
IN_A_SMALL_DISK = """
unshare --user --map-root-user --mount sh -c 'mount -t tmpfs -o size=1m none "$0" && exec "$@"' "$@"
"""

FOR_SOME_TIME = """
        loop.pause_s = 0.002
        loop.run(1500)
        room.close()
        loop.pause_s = 0.0
        loop.run(100)
"""

TO_THE_END = """
        loop.run(1000)
"""

PAST_THE_END = """
        loop.run(1000)
        threading.Timer(4, room.close).start()
"""

VERY_LONG = """
        loop.run(700_000)
        room.close()
        while recorder._writer.full:
            time.sleep(0.1)
        loop.run(100)
"""

HOW = {"by a limit": "disk I/O error", "in truth": "database or disk is full"}


def recorded(tmp_path, how, meanwhile, temporary, after="pass"):
    script = SCRIPT.replace("{meanwhile}", meanwhile.strip()).replace("{after}", after)
    command = [sys.executable, "-c", script, str(tmp_path / "disk"), how]
    (tmp_path / "disk").mkdir()
    if how == "in truth":
        command = ["sh", "-c", IN_A_SMALL_DISK, "sh", str(tmp_path / "disk"), *command]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "TMPDIR": str(temporary)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False, env=environment)
    if how == "in truth" and ("unshare" in done.stderr or "mount" in done.stderr):
        pytest.skip(f"no file system can be mounted here: {done.stderr}")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("how", HOW)
def test_nothing_is_lost_when_there_is_room_again(tmp_path, how):
    folder, said, passes, done, ended, wrong, last, _ = recorded(tmp_path, how, FOR_SOME_TIME, tmp_path)
    assert folder == str(tmp_path / "disk" / "run")
    (warning,) = said
    assert warning.startswith(f"{folder} cannot be written at present, and it is tried again: ")
    assert warning.endswith(".") and (HOW[how] in warning or "full" in warning)
    assert (passes, done, wrong, last) == (1700, 1700, 0, 1699)
    assert ended == "ran all 100 items"


@pytest.mark.parametrize("how", HOW)
def test_room_that_comes_when_the_run_has_ended_is_waited_for(tmp_path, how):
    folder, said, passes, done, ended, wrong, last, _ = recorded(tmp_path, how, PAST_THE_END, tmp_path)
    assert folder == str(tmp_path / "disk" / "run") and len(said) <= 1
    assert (passes, done, wrong, last, ended) == (1100, 1100, 0, 1099, "ran all 1,000 items")


def test_a_disk_that_stays_full_leaves_the_run_where_temporary_files_go(tmp_path):
    folder, said, passes, done, ended, wrong, last, _ = recorded(tmp_path, "in truth", TO_THE_END, tmp_path)
    assert Path(folder).parent == tmp_path and Path(folder).name.startswith("looptree-")
    assert said[-1] == (
        f"{tmp_path}/disk/run cannot be written: database or disk is full. The whole run, but for its checkpoints, is "
        f"in {folder}; move it to where it is safe."
    )
    assert (passes, done, wrong, last, ended) == (1100, 1100, 0, 1099, "ran all 1,000 items")
    assert Run(folder).settings == {} and Run(folder).hooks and Run(folder).code  # it is whole


def test_where_there_is_no_place_at_all_it_is_said_how_much_is_lost(tmp_path):
    folder, said, passes, _, _, wrong, _, _ = recorded(tmp_path, "by a limit", TO_THE_END, tmp_path, "room.close()")
    assert folder == str(tmp_path / "disk" / "run")
    assert said[-1].startswith(f"{folder} cannot be written, nor can temporary files: ")
    assert said[-1].endswith(" rows (passes, metrics, changes) are lost.")
    assert (passes, wrong) == (100, 0)


def test_memory_stays_bounded_and_what_is_left_out_is_said(tmp_path):
    _, said, passes, done, ended, wrong, last, megabytes = recorded(tmp_path, "by a limit", VERY_LONG, tmp_path)
    assert done == 700_200 and last == 700_199 and ended == "ran all 100 items"
    assert wrong == 0
    assert 250_000 < passes < 400_000
    assert any("rows wait; passes are left out until it can be written again." in each for each in said)
    assert len(said) <= 3
    assert megabytes < 1_000


@pytest.mark.parametrize("number", [math.nan, 2**70])
def test_a_row_that_does_not_fit_is_left_out_alone(tmp_path, number):
    class Odd(Loop):
        value = 0.0
        how_far = 0.0

        def on_step(self):
            self.value = float(self.count)
            self.how_far = number if self.count == 3 else self.count

    loop = Odd(times=10)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with Recorder(loop, tmp_path / "run", metrics=("value",), over="how_far"):
            loop.run()
    (warning,) = said
    text = str(warning.message)
    assert text.startswith(f"{tmp_path}/run cannot hold all that is recorded; left out is the row (3, ")
    assert ("NOT NULL constraint failed: passes.step" in text) == (number != 2**70)
    run = Run(tmp_path / "run")
    assert (run.passes, run.passes_done, run.ended) == (9, 10, "ran all 10 items")
    assert run.metric("value").values == [0.0, 1.0, 2.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]
