"""When a Checkpoint takes the state, which ones stay, and what a run does that was cut off."""

import json
import os
import random
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from looptree import Callback, Cancel, Checkpoint, Loop
from looptree.callbacks.checkpoints import (
    CheckpointPassedOver,
    CheckpointsAhead,
    DamagedCheckpoint,
    NoCheckpoint,
    load_checkpoint,
    newest_checkpoint,
)
from looptree.core.errors import BadSetting
from tests.callbacks.checkpoints.states import Holds, Steps, held, load, save

REPOSITORY = Path(__file__).parents[3]


class Counting(Loop):
    """Adds up its passes in a hook of the pass, so that a state from within a pass is another one."""

    total = 0

    def on_step(self):
        self.total += self.count + 1

    def state_dict(self):
        return super().state_dict() | {"total": self.total, "row": np.full(100, self.total)}

    def load_state_dict(self, state):
        super().load_state_dict(state)
        self.total = state["total"]


class EveryPass(Checkpoint):
    """Waits in each pass until it is written, so that the next one is due."""

    def __init__(self, folder, keep=3, **more):
        super().__init__(folder, every_s=1e-9, keep=keep, **more)

    def after_pass(self):
        wait_for(lambda: self.written is not None and int(self.written.name) == self.loop.count)


def wait_for(condition, at_most_s=60):
    until_s = time.monotonic() + at_most_s
    while not condition():
        assert time.monotonic() < until_s
        time.sleep(0.001)


def counts(folder):
    return [int(path.name) for path in sorted((folder / "checkpoints").iterdir())]


def test_a_checkpoint_is_written_at_the_beginning_and_at_the_end(tmp_path):
    Counting(cbs=Checkpoint(tmp_path), times=5).run()
    assert counts(tmp_path) == [0, 5]
    assert load_checkpoint(tmp_path / "checkpoints" / "000000000000").state["total"] == 0
    newest = newest_checkpoint(tmp_path)
    assert (newest.count, newest.state["total"]) == (5, 15)
    assert newest.path == tmp_path / "checkpoints" / "000000000005"


def test_states_are_those_between_two_passes_and_the_newest_ones_stay(tmp_path):
    Counting(cbs=EveryPass(tmp_path, keep=4), times=9).run()
    assert counts(tmp_path) == [6, 7, 8, 9]
    for count in counts(tmp_path):
        state = load_checkpoint(tmp_path / "checkpoints" / f"{count:012d}").state
        assert state["count"] == count
        assert state["total"] == count * (count + 1) // 2 == state["row"][-1]


def test_a_run_goes_on_from_its_checkpoint_in_the_same_folder(tmp_path):
    Counting(cbs=Checkpoint(tmp_path), times=5).run()
    again = Counting(times=2)
    newest_checkpoint(tmp_path).into(again)
    again.run(cbs=Checkpoint(tmp_path))
    assert counts(tmp_path) == [0, 5, 7]
    assert load_state(tmp_path)["total"] == 28


def load_state(folder):
    return newest_checkpoint(folder).state


class FailsAt(Callback):
    def __init__(self, count, error):
        self.at = count
        self.error = error

    def after_step(self):
        if self.loop.count == self.at:
            raise self.error


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), SystemExit(1), MemoryError()])
def test_a_run_that_fails_in_a_pass_keeps_the_checkpoint_before(tmp_path, error):
    with pytest.raises(type(error)):
        Counting(cbs=[EveryPass(tmp_path), FailsAt(4, error)], times=9).run()
    assert newest_checkpoint(tmp_path).count == 4
    assert load_state(tmp_path)["total"] == 10


def test_a_run_that_is_stopped_or_broken_off_ends_with_a_checkpoint(tmp_path):
    class Stops(Callback):
        def on_step(self):
            if self.loop.count == 3:
                self.loop.stop("enough")

    Counting(cbs=[Checkpoint(tmp_path / "stopped"), Stops()], times=9).run()
    assert newest_checkpoint(tmp_path / "stopped").count == 4

    broken_off = Counting(cbs=Checkpoint(tmp_path / "broken off"), times=9)
    for _ in broken_off:
        if broken_off.total >= 6:
            break
    assert newest_checkpoint(tmp_path / "broken off").count == broken_off.count


def test_a_cancelled_pass_counts(tmp_path):
    class Cancels(Callback):
        def before_step(self):
            if self.loop.count == 2:
                raise Cancel("pass")

    Counting(cbs=[Checkpoint(tmp_path), Cancels()], times=3).run()
    assert (newest_checkpoint(tmp_path).count, load_state(tmp_path)["total"]) == (3, 3)


def test_large_arrays_are_written_as_they_are_at_that_moment(tmp_path):
    class Large(Loop):
        def __init__(self, cbs):
            super().__init__(cbs=cbs, times=2)
            self.rows = np.zeros(9_000_000)

        def on_step(self):
            self.rows += 1

        def state_dict(self):
            return super().state_dict() | {"rows": self.rows}  # as they are, not a copy

    Large(Checkpoint(tmp_path, every_s=1e-9)).run()
    for count in (0, 1, 2):
        rows = load_checkpoint(tmp_path / "checkpoints" / f"{count:012d}").state["rows"]
        assert (rows[0], rows[-1]) == (count, count)


# Prints by how many MiB the most memory in use has grown while 128 MiB were written.
LARGE = """
import sys
import numpy as np
from looptree import Checkpoint, Loop
from looptree.callbacks.checkpoints import newest_checkpoint
from tests.memory import most_mb

class Large(Loop):
    rows = np.ones((8, 2**21))
    def on_step(self):
        pass
    def state_dict(self):
        return super().state_dict() | {"rows": list(self.rows)}

loop = Large()
before = most_mb()
loop.run(1, cbs=Checkpoint(sys.argv[1], keep=1))
print(round(most_mb() - before))
assert all((rows == 1).all() for rows in newest_checkpoint(sys.argv[1]).state["rows"])
"""


def test_large_arrays_are_not_held_twice(tmp_path):
    command = [sys.executable, "-c", LARGE, str(tmp_path)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=100, check=True)
    assert int(done.stdout) < 32


def test_what_is_done_beforehand_is_done_before_the_checkpoint_is_in_its_place(tmp_path):
    done = []

    def beforehand():
        taken = loop.total
        return lambda: done.append((taken, in_place()))

    def in_place():
        return [count for count in range(3) if (tmp_path / "checkpoints" / f"{count:012d}").exists()]

    loop = Counting(cbs=EveryPass(tmp_path, beforehand=beforehand), times=2)
    loop.run()
    assert done == [(0, []), (1, [0]), (3, [0, 1])]


def test_what_fails_beforehand_keeps_the_checkpoint_out_of_its_place(tmp_path):
    def fails():
        raise OSError("the rows are not on the disk")

    checkpoint = Checkpoint(tmp_path, beforehand=lambda: fails)
    with pytest.warns(UserWarning, match="the rows are not on the disk.* There is none of this run yet"):
        Counting(cbs=checkpoint, times=2).run()
    assert counts(tmp_path) == []


def test_the_manifest_says_what_was_saved_and_what_was_not(tmp_path):
    class Source(Callback):
        def state_dict(self):
            return {
                "steps": 3,
                "environments": None,
                "why_not_environments": "The engine keeps it.",
                "why_not_steps": "",
            }

    Counting(cbs=[Checkpoint(tmp_path), Source()]).run()
    manifest = newest_checkpoint(tmp_path).manifest
    assert "/total" in manifest["saved"] and "/cbs/source/steps" in manifest["saved"]
    assert manifest["not_saved"] == {"/cbs/source/environments": "The engine keeps it."}
    assert manifest["count"] == 1 and manifest["format"] == 1
    assert set(manifest["versions"]) >= {"looptree", "python", "numpy"}
    sizes = {name: (newest_checkpoint(tmp_path).path / name).stat().st_size for name in manifest["files"]}
    assert {name: file["bytes"] for name, file in manifest["files"].items()} == sizes


def test_another_run_does_not_begin_in_the_folder_of_one_that_is_further(tmp_path):
    Counting(cbs=Checkpoint(tmp_path), times=5).run()
    with pytest.raises(CheckpointsAhead, match=r"checkpoint of 5 passes, and counting has done 0.*into\(counting\)"):
        Counting(cbs=Checkpoint(tmp_path), times=5).run()
    assert load_state(tmp_path)["total"] == 15


def test_a_run_that_goes_on_behind_a_damaged_checkpoint_sets_that_aside(tmp_path):
    Counting(cbs=EveryPass(tmp_path), times=5).run()
    (tmp_path / "checkpoints" / "000000000005" / "state.json").write_bytes(b"{}")
    again = Counting(times=3)
    with pytest.warns(CheckpointPassedOver, match=r"000000000005 is damaged: state.json .* \(it has 2 bytes, and had"):
        newest_checkpoint(tmp_path).into(again)
    again.run(cbs=EveryPass(tmp_path))
    assert (newest_checkpoint(tmp_path).count, load_state(tmp_path)["total"]) == (7, 28)
    assert (tmp_path / "checkpoints" / "000000000005.damaged").exists()


def test_the_checkpoint_of_a_run_that_never_got_further_is_replaced(tmp_path):
    with pytest.raises(ValueError, match="first"):
        Steps(cbs=[Checkpoint(tmp_path), FailsAt(0, ValueError("first"))]).run()
    save(tmp_path, "second", times=1)
    assert held(load_checkpoint(tmp_path / "checkpoints" / "000000000000")) == "second"


def test_a_folder_of_a_checkpoint_with_nothing_in_it_is_passed_over(tmp_path):
    save(tmp_path, "first")
    (tmp_path / "checkpoints" / "000000000002").mkdir()
    with pytest.warns(CheckpointPassedOver, match=r"000000000002 is no checkpoint: it has no manifest.json"):
        assert load(tmp_path) == "first"
    again = Steps(cbs=Holds("again"))
    again.count = 1
    again.run(cbs=Checkpoint(tmp_path))
    assert load(tmp_path) == "again"


class Huge(Callback):
    """Asks for more memory than there is for the state of all passes but the first."""

    def state_dict(self):
        return {"rows": np.zeros(2**58 if self.loop.count else 1)}


def test_without_the_memory_for_a_state_training_goes_on(tmp_path):
    loop = Counting(cbs=[Checkpoint(tmp_path), Huge()], times=3)
    with pytest.warns(UserWarning, match=r"cannot be written at present \(.*Unable to allocate"):
        loop.run()
    assert (loop.total, newest_checkpoint(tmp_path).count) == (6, 0)


def test_a_state_that_cannot_be_written_any_more_is_said_and_training_goes_on(tmp_path):
    holds = Holds(1)
    loop = Counting(cbs=[Checkpoint(tmp_path), holds], times=3)

    class Spoils(Callback):
        def on_step(self):
            holds.state = object()

    with pytest.warns(UserWarning, match=r"cannot be written at present \(/cbs/holds/held is of type builtins.object"):
        loop.run(cbs=Spoils())
    assert (loop.total, newest_checkpoint(tmp_path).count) == (6, 0)


def test_without_a_whole_checkpoint_it_is_said_what_is_there(tmp_path):
    with pytest.raises(NoCheckpoint, match="has no checkpoint"):
        newest_checkpoint(tmp_path)
    save(tmp_path, 1, keep=1)
    with pytest.raises(NoCheckpoint, match=r"newest_checkpoint\("):
        load_checkpoint(tmp_path)
    (tmp_path / "checkpoints" / "000000000001" / "arrays.safetensors").unlink()
    with pytest.raises(NoCheckpoint, match=r"no whole checkpoint left.*arrays.safetensors cannot be read"):
        newest_checkpoint(tmp_path)


@pytest.mark.parametrize("settings", [{"every_s": 0}, {"every_s": float("nan")}, {"keep": 0}, {"keep": 1.5}])
def test_settings_that_do_not_fit_are_refused(tmp_path, settings):
    with pytest.raises(BadSetting, match="would fit"):
        Checkpoint(tmp_path, **settings)


def test_two_in_one_folder_are_refused_before_either_writes(tmp_path):
    (tmp_path / "linked").symlink_to(tmp_path)
    loop = Counting(Counting(call_on="on_step", cbs=Checkpoint(tmp_path / "linked")), cbs=Checkpoint(tmp_path), times=5)
    with pytest.raises(
        BadSetting, match=r"counting.checkpoint and counting.counting.checkpoint both write into .*another"
    ):
        loop.run()
    assert (loop.count, list(tmp_path.iterdir())) == (0, [tmp_path / "linked"])


def test_callbacks_without_a_state_need_not_be_there_when_a_state_is_loaded(tmp_path):
    Counting(cbs=Checkpoint(tmp_path), times=5).run()
    bare = Counting()
    newest_checkpoint(tmp_path).into(bare)
    assert bare.count == 5


# Each run of the child goes on from the newest checkpoint, and checks that it is of one moment.
KILLED = """
import math, sys, warnings
import numpy as np
from looptree import Checkpoint, Loop
from looptree.callbacks.checkpoints import NoCheckpoint, newest_checkpoint
warnings.simplefilter("error")

class Long(Loop):
    def __init__(self):
        super().__init__(times=math.inf, cbs=Checkpoint(sys.argv[1], every_s=1e-9, keep=2))
        self.rows = np.zeros((4, 50_000))
    def on_step(self):
        self.rows += 1
    def state_dict(self):
        return super().state_dict() | {"rows": list(self.rows)}
    def load_state_dict(self, state):
        super().load_state_dict(state)
        self.rows[:] = state["rows"]

loop = Long()
try:
    loop.load_state_dict(newest_checkpoint(sys.argv[1]).state)
except NoCheckpoint:
    pass
assert (loop.rows == loop.count).all()
print(loop.count, flush=True)
loop.run()
"""


def test_whenever_a_process_is_killed_the_newest_checkpoint_is_whole(tmp_path):
    last = -1
    for kill in range(int(os.environ.get("LOOPTREE_KILLS", "8"))):
        command = [sys.executable, "-c", KILLED, str(tmp_path)]
        process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        began = int(process.stdout.readline())
        assert began >= last
        wait_for(lambda: newest_number(tmp_path) > began)
        time.sleep(random.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            newest = newest_checkpoint(tmp_path)
        assert (np.array(newest.state["rows"]) == newest.count).all(), f"kill {kill}"
        last = newest.count
    assert last > 0


def newest_number(folder):
    checkpoints = folder / "checkpoints"
    names = [path.name for path in checkpoints.iterdir()] if checkpoints.exists() else []
    return max((int(name) for name in names if name.isdigit()), default=-1)


# The disk is full, or takes no large file, for some of the runs of a loop.
FULL = """
import contextlib, json, os, resource, subprocess, sys, time, warnings
from pathlib import Path
import numpy as np
from looptree import Checkpoint, Loop
from looptree.callbacks.checkpoints import newest_checkpoint

folder, how = Path(sys.argv[1]), sys.argv[2]

class Slow(Loop):
    def on_step(self):
        time.sleep(0.001)
    def state_dict(self):
        return super().state_dict() | {"rows": np.zeros(10_000)}

@contextlib.contextmanager
def full():
    if how == "by a limit":
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
        yield
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    elif how == "read-only":
        subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
        yield
        subprocess.run(["mount", "-o", "remount,rw", folder], check=True)
    else:
        filler = folder / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        yield
        filler.unlink()

loop = Slow(cbs=Checkpoint(folder, every_s=0.001))
loop.run(3)
before = newest_checkpoint(folder)
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    with full():
        loop.run(200)
        meanwhile = newest_checkpoint(folder)
        left = sorted(path.name for path in before.path.parent.iterdir() if path.name.startswith("."))
    loop.run(1)
after = newest_checkpoint(folder)
print(json.dumps([before.count, meanwhile.count, after.count, loop.count, [str(each.message) for each in said], left]))
"""


# In a small file system of its own, which is gone with the process.
IN_A_SMALL_DISK = """
unshare --user --map-root-user --mount sh -c 'mount -t tmpfs -o size=1m none "$0" && exec "$@"' "$@"
"""


def on_a_bad_disk(folder, how):
    command = [sys.executable, "-c", FULL, str(folder), how]
    if how != "by a limit":
        command = ["sh", "-c", IN_A_SMALL_DISK, "sh", str(folder), *command]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=100, check=False)


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("by a limit", "File too large"),
        ("in truth", "No space left on device"),
        ("read-only", "Read-only file system"),
    ],
)
def test_on_a_full_or_read_only_disk_training_goes_on_with_one_warning_and_the_last_checkpoint_stays(
    tmp_path, how, why
):
    done = on_a_bad_disk(tmp_path, how)
    if how != "by a limit" and ("unshare:" in done.stderr or "mount:" in done.stderr):
        pytest.skip(f"no file system can be mounted here: {done.stderr}")
    assert done.returncode == 0, done.stderr
    before, meanwhile, after, passes, said, left = json.loads(done.stdout)
    assert (before, meanwhile, after, passes) == (3, 3, 204, 204)
    (warning,) = said
    assert "a checkpoint cannot be written at present" in warning and why in warning
    assert "Training goes on, and it is tried again every 0.001 s" in warning
    assert left == []


def test_a_folder_that_cannot_be_written_is_said_and_training_goes_on(tmp_path):
    (tmp_path / "checkpoints").write_text("a file")
    loop = Counting(cbs=Checkpoint(tmp_path), times=3)
    with pytest.warns(UserWarning, match="cannot be written at present.*There is none of this run yet"):
        loop.run()
    assert loop.total == 6


def test_a_damaged_checkpoint_is_an_error_when_it_is_asked_for(tmp_path):
    save(tmp_path, {"rows": np.zeros(100)})
    path = newest_checkpoint(tmp_path).path
    with (path / "arrays.safetensors").open("r+b") as file:
        file.seek(-8, os.SEEK_END)
        file.write(b"x")
    with pytest.raises(DamagedCheckpoint, match=r"arrays.safetensors is not what was written"):
        load_checkpoint(path)
    with pytest.warns(CheckpointPassedOver, match="The one before it is used"):
        assert load(tmp_path)["rows"].tolist() == [0] * 100
