"""A run that was killed is gone on with in its folder, and what stands there in the end is as if it had never been."""

import math
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from looptree import Callback, Cancel, Loop
from looptree.observe.runs import NotARun, Recorder, Run
from looptree.observe.runs.recorder import RunExists, RunGoesOn
from looptree.observe.save import CannotSave

KILLS = int(os.environ.get("LOOPTREE_KILLS", "5"))


class Half(Callback):
    def after_step(self, _every: int = 3) -> None:
        self.loop.rate /= 2


class Training(Loop):
    """All of its state is its count and these fields."""

    loss: float
    rate: float
    level: float

    def __init__(self, times: int = 12) -> None:
        self.rate = 1.0
        self.loss = self.level = math.nan
        self.samples = 0
        super().__init__(cbs=Half(), times=times)

    def before_pass(self) -> None:
        self.samples += 4

    def on_step(self) -> None:
        self.loss = math.nan if self.count % 5 == 3 else 1 / (self.count // 2 + 1)
        self.level = math.nan if self.count < 7 else math.inf

    def state_dict(self) -> dict:
        return super().state_dict() | {name: getattr(self, name) for name in ("loss", "rate", "level", "samples")}

    def load_state_dict(self, state: dict) -> None:
        self.count = state["count"]
        for name in ("loss", "rate", "level", "samples"):
            setattr(self, name, state[name])


class Lost(Exception):
    """The process is gone."""


class Keep(Callback):
    """Keeps the state at the beginning of a pass, and loses the process in a later one."""

    def __init__(self, kept: int, lost: int) -> None:
        self.kept, self.lost = kept, lost
        self.state: dict = {}

    def before_pass(self, _order: int = -5) -> None:
        if self.loop.count == self.kept:
            self.state = self.loop.state_dict()
        if self.loop.count == self.lost:
            raise Lost


RECORDED = {"metrics": ("loss", "rate", "level"), "over": "samples", "fields": ("rate", "loss")}


def rows(folder: Path) -> dict[str, list]:
    """All that is recorded but times."""
    connection = sqlite3.connect(folder / "run.db")
    try:
        return {
            "passes": connection.execute("SELECT number, step FROM passes ORDER BY number").fetchall(),
            "metrics": connection.execute("SELECT * FROM metrics ORDER BY name, pass").fetchall(),
            "changes": connection.execute(
                """SELECT number, pass, at, fields.name, hooks.name, old, new, value FROM changes
                JOIN names AS fields ON fields.id = field JOIN names AS hooks ON hooks.id = hook ORDER BY number"""
            ).fetchall(),
        }
    finally:
        connection.close()


def never_interrupted(folder: Path) -> dict[str, list]:
    with Recorder(loop := Training(), folder, **RECORDED):
        loop.run()
    return rows(folder)


def killed(folder: Path, kept: int, lost: int, loop: Loop | None = None) -> dict:
    """A run whose process was killed, as far as its folder can tell: how it ended does not stand there. The state that
    was kept."""
    keep = Keep(kept, lost)
    loop = loop or Training()
    recorder = Recorder.resume(loop, folder) if (folder / "run.db").exists() else Recorder(loop, folder, **RECORDED)
    with pytest.raises(Lost), recorder:
        loop.run(cbs=keep)
    connection = sqlite3.connect(folder / "run.db")
    with connection:
        last = "(SELECT max(number) FROM sessions)"
        connection.execute(f"UPDATE sessions SET ended = NULL, ended_at = NULL WHERE number = {last}")
    connection.close()
    return keep.state


def loaded(state: dict) -> Training:
    loop = Training(times=12 - state["count"])
    loop.load_state_dict(state)
    return loop


@pytest.mark.parametrize(("kept", "lost"), [(0, 0), (0, 5), (4, 4), (4, 9), (7, 11), (11, 11)])
def test_the_rows_are_those_of_a_run_that_was_never_interrupted(tmp_path: Path, kept: int, lost: int) -> None:
    state = killed(tmp_path / "run", kept, lost)
    loop = loaded(state)
    with Recorder.resume(loop, tmp_path / "run"):
        loop.run()
    assert rows(tmp_path / "run") == never_interrupted(tmp_path / "other")


def test_a_run_may_be_interrupted_again_and_again(tmp_path: Path) -> None:
    state = killed(tmp_path / "run", 2, 6)
    state = killed(tmp_path / "run", 4, 10, loaded(state))
    state = killed(tmp_path / "run", 4, 5, loaded(state))
    loop = loaded(state)
    with Recorder.resume(loop, tmp_path / "run", inexact=["The <maze> begins anew."]):
        loop.run()
    assert rows(tmp_path / "run") == never_interrupted(tmp_path / "other")
    run = Run(tmp_path / "run")
    assert [each.from_pass for each in run.sessions] == [0, 2, 4, 4]
    assert [each.passes_again for each in run.sessions] == [0, 4, 6, 1]
    assert [each.ended for each in run.sessions] == [None, None, None, "ran all 8 items"]
    assert [each.inexact for each in run.sessions] == [(), (), (), ("The <maze> begins anew.",)]
    assert run.ended == "ran all 8 items"
    assert run.outcome == "ran all 8 items; interrupted 3 times before that"
    assert run.began_at == run.sessions[0].began_at


def test_one_that_was_not_interrupted_has_one_session(tmp_path: Path) -> None:
    never_interrupted(tmp_path)
    run = Run(tmp_path)
    ((from_pass, began_at, ended_at, ended, again, inexact),) = run.sessions
    assert (from_pass, ended, again, inexact) == (0, "ran all 12 items", 0, ())
    assert began_at == run.began_at <= str(ended_at)


def test_times_go_on_and_add_up(tmp_path: Path) -> None:
    state = killed(tmp_path, 6, 9)
    first = Run(tmp_path)
    assert first.outcome == "was killed"
    kept_s, lines = first.metric("rate").at_s, {timing.path: timing for timing in first.timings}
    time.sleep(0.05)
    loop = loaded(state)
    with Recorder.resume(loop, tmp_path) as recorder:
        loop.run(cbs=Keep(99, 99))
    run = Run(tmp_path)
    at_s = run.metric("rate").at_s
    assert at_s == sorted(at_s)
    assert at_s[:2] == kept_s[:2]
    again = {timing.path: timing for timing in recorder.profile}
    for timing in run.timings:
        assert timing.calls == lines[timing.path].calls + again[timing.path].calls
        assert timing.total_s == pytest.approx(lines[timing.path].total_s + again[timing.path].total_s)
    assert sum(timing.own_s for timing in run.timings) == pytest.approx(run.timings[0].all_s, rel=0.01)
    assert {timing.path: timing.calls for timing in run.timings}["training.on_step"] == 9 + 6


def test_what_it_was_made_with_stays(tmp_path: Path) -> None:
    with Recorder(loop := Training(times=3), tmp_path, settings={"lr": 1}, **RECORDED):
        loop.run()
    loop.run(0)
    with Recorder.resume(loop, tmp_path):
        loop.run(2)
    run = Run(tmp_path)
    assert run.settings == {"lr": 1}
    assert (run.passes, run.steps, run.recorded._asdict()) == (5, 20, RECORDED | {"inside": True})


def test_a_loop_that_had_run_before_its_run_was_recorded(tmp_path: Path) -> None:
    loop = Training(times=3)
    loop.run()
    with Recorder(loop, tmp_path, metrics=["loss"]):
        loop.run()
    with Recorder.resume(loop, tmp_path):
        loop.run()
    run = Run(tmp_path)
    assert (run.passes, run.passes_done) == (6, 9)
    assert [each.inexact for each in run.sessions] == [(), ()]


def test_rows_that_the_system_lost_are_told_of(tmp_path: Path) -> None:
    state = killed(tmp_path, 6, 9)
    connection = sqlite3.connect(tmp_path / "run.db")
    with connection:
        connection.execute("DELETE FROM passes WHERE number >= 4")
    connection.close()
    loop = loaded(state)
    with Recorder.resume(loop, tmp_path):
        loop.run()
    lost = "What was recorded of 2 of the passes before is not there any more."
    assert Run(tmp_path).sessions[-1].inexact == (lost,)


def test_rows_that_the_system_lost_are_told_of_once(tmp_path: Path) -> None:
    loop = Training(times=4)
    with Recorder(loop, tmp_path, **RECORDED):
        loop.run()
    connection = sqlite3.connect(tmp_path / "run.db")
    with connection:
        connection.execute("DELETE FROM passes WHERE number = 1")
    connection.close()
    for _ in range(2):
        with Recorder.resume(loop, tmp_path):
            loop.run()
    lost = "What was recorded of 1 of the passes before is not there any more."
    assert [session.inexact for session in Run(tmp_path).sessions] == [(), (lost,), ()]


def test_passes_that_were_cancelled_are_not_missing(tmp_path: Path) -> None:
    class Cancelling(Loop):
        def on_step(self) -> None:
            if self.count % 2:
                raise Cancel("pass")

    loop = Cancelling(times=6)
    with Recorder(loop, tmp_path):
        loop.run()
    with Recorder.resume(loop, tmp_path):
        loop.run(2)
    run = Run(tmp_path)
    assert run.passes == 8
    assert [session.inexact for session in run.sessions] == [(), ()]


def test_what_was_handed_over_is_on_the_disk(tmp_path: Path) -> None:
    class Look(Callback):
        def before_pass(self) -> None:
            if self.loop.count == 7:
                recorder.on_disk()()
                seen.append(rows(tmp_path))

    seen: list[dict[str, list]] = []
    loop = Training()
    with Recorder(loop, tmp_path, **RECORDED) as recorder:
        loop.run(cbs=Look())
    ((found),) = seen
    assert [number for number, _ in found["passes"]] == list(range(7))
    after = rows(tmp_path)
    assert found["metrics"] == [row for row in after["metrics"] if row[1] < 7]
    assert found["changes"] == [row for row in after["changes"] if row[1] < 7]


# what does not fit


def test_what_is_no_run_is_not_gone_on_with(tmp_path: Path) -> None:
    with pytest.raises(NotARun, match=r"there is no run\.db"):
        Recorder.resume(Training(), tmp_path)


def test_a_run_that_goes_on_is_left_alone(tmp_path: Path) -> None:
    with Recorder(loop := Training(), tmp_path, **RECORDED):
        assert Run(tmp_path).goes_on and Run(tmp_path).outcome == "goes on"
        with pytest.raises(RunGoesOn, match="is recorded by another process"):
            Recorder.resume(Training(), tmp_path).__enter__()
        with pytest.raises(RunExists, match="has a run in it that goes on"):
            Recorder(Training(), tmp_path).__enter__()
        loop.run()
    assert not Run(tmp_path).goes_on
    assert rows(tmp_path) == never_interrupted(tmp_path / "other")


@pytest.mark.parametrize("recorded", ["", "{", "[]", '{"metrics": 3}', '{"metrics": [], "over": "x", "fields": []}'])
def test_a_run_that_does_not_say_what_was_recorded(tmp_path: Path, recorded: str) -> None:
    never_interrupted(tmp_path)
    connection = sqlite3.connect(tmp_path / "run.db")
    with connection:
        connection.execute("UPDATE about SET value = ? WHERE name = 'recorded'", (recorded,))
    connection.close()
    with pytest.raises(NotARun, match=r"run\.db cannot be read: "):
        Recorder.resume(Training(), tmp_path)


@pytest.mark.parametrize("name", ["run.db", "run.db-wal", "run.db-shm", "run.db-journal", "settings.json", "run.lock"])
def test_nothing_is_followed_out_of_the_folder(tmp_path: Path, name: str) -> None:
    never_interrupted(tmp_path / "run")
    outside = tmp_path / "outside"
    file = tmp_path / "run" / name
    outside.write_bytes(file.read_bytes() if file.exists() else b"")
    before = outside.read_bytes()
    file.unlink(missing_ok=True)
    file.symlink_to(outside)
    with pytest.raises((NotARun, CannotSave), match="it is a link, which nothing that looptree writes is"):
        print(Run(tmp_path / "run").settings)
        with Recorder.resume(Training(), tmp_path / "run"):
            pass
    assert outside.read_bytes() == before


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    never_interrupted(tmp_path)
    for name in ("settings.json", "run.db"):
        (tmp_path / name).unlink()
        os.mkfifo(tmp_path / name)
        with pytest.raises(NotARun, match="it is not a file"):
            print(Run(tmp_path).settings)


def test_a_file_without_end_is_not_read(tmp_path: Path) -> None:
    never_interrupted(tmp_path)
    os.truncate(tmp_path / "settings.json", 1 << 40)
    with pytest.raises(NotARun, match=r"settings\.json cannot be read: it is larger than 64 MiB"):
        print(Run(tmp_path).settings)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE VIEW more AS SELECT 1",
        "CREATE TRIGGER more AFTER DELETE ON passes BEGIN DELETE FROM about; END",
        "CREATE TABLE more (a)",
    ],
)
def test_a_database_that_does_more_than_hold_a_run(tmp_path: Path, statement: str) -> None:
    never_interrupted(tmp_path)
    connection = sqlite3.connect(tmp_path / "run.db")
    connection.execute(statement)
    connection.close()
    with pytest.raises(NotARun, match="its tables are not those that a Recorder makes"):
        Run(tmp_path)


# killed

CHANGES = """
import os, signal, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA cache_size = 2")  # so that what is not committed goes to the disk
connection.execute("BEGIN")
connection.executemany("INSERT INTO passes VALUES (?, 0, 0)", ((number,) for number in range(1000, 9000)))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_changed_by_half_is_undone(tmp_path: Path) -> None:
    before = never_interrupted(tmp_path)
    subprocess.run([sys.executable, "-c", CHANGES, tmp_path / "run.db"], check=False)
    assert (tmp_path / "run.db-journal").stat().st_size > 0
    assert Run(tmp_path).passes == 12
    assert rows(tmp_path) == before


@pytest.mark.parametrize("name", ["run.db", "run.lock"])
def test_a_journal_never_deletes_another_file(tmp_path: Path, name: str) -> None:
    """SQLite deletes the file that a journal names as that of several databases, once it is undone."""
    never_interrupted(tmp_path / "run")
    subprocess.run([sys.executable, "-c", CHANGES, tmp_path / "run" / "run.db"], check=False)
    other = tmp_path / "other"
    other.write_text("mine")
    path = str(other).encode()
    journal = tmp_path / "run" / "run.db-journal"
    with journal.open("ab") as file:
        magic = journal.read_bytes()[:8]
        page = (1 << 30) // 4096 + 1
        file.write(page.to_bytes(4) + path + len(path).to_bytes(4) + sum(path).to_bytes(4) + magic)
    if name == "run.lock":
        for ending in ("", "-journal"):
            (tmp_path / "run" / f"run.lock{ending}").write_bytes((tmp_path / "run" / f"run.db{ending}").read_bytes())
        journal.unlink()
    copied = Path(shutil.copytree(tmp_path / "run", tmp_path / "copied"))
    said = "its journal names another file, which nothing that looptree writes does"
    with pytest.raises((NotARun, CannotSave), match=said), Recorder.resume(Training(), tmp_path / "run"):
        pass
    assert other.read_text() == "mine"
    sqlite3.connect(copied / name).execute("SELECT * FROM passes").connection.close()
    assert not other.exists()  # as SQLite alone would have done


TRAINS = """
import sys
from pathlib import Path
from looptree import Callback
from looptree.observe.runs import Recorder, Run
from tests.observe.test_sessions import RECORDED, Training

import json, time

class Slow(Callback):
    def on_step(self):
        time.sleep(0.002)

class Keep(Callback):
    def before_pass(self, _order=-5):
        if self.loop.count % 20 == 0:
            state = self.loop.state_dict()
            recorder.on_disk()()
            Path(folder, "state.new").write_text(json.dumps(state))
            Path(folder, "state.new").replace(Path(folder, "state"))

folder = Path(sys.argv[1])
loop = Training()
loop.add_cb(Slow())
if (folder / "run.db").exists():
    if (folder / "state").exists():
        loop.load_state_dict(json.loads((folder / "state").read_text()))
    recorder = Recorder.resume(loop, folder)
else:
    recorder = Recorder(loop, folder, **RECORDED)
with recorder:
    print("begins", flush=True)
    loop.run(400 - loop.count, cbs=Keep())
"""


def test_a_run_that_is_killed_at_any_moment_goes_on(tmp_path: Path) -> None:
    moments = random.Random(1)
    folder = tmp_path / "run"

    def started() -> subprocess.Popen:
        return subprocess.Popen([sys.executable, "-c", TRAINS, str(folder)], stdout=subprocess.PIPE)

    for _ in range(KILLS):
        child = started()
        time.sleep(moments.uniform(0, 0.6))  # also before it trains
        child.send_signal(signal.SIGKILL)
        child.communicate()
        if (folder / "run.db").exists():
            assert not Run(folder).goes_on
            assert Run(folder).settings == {}
    child = started()
    child.communicate(timeout=60)
    assert child.returncode == 0
    with Recorder(loop := Training(400), tmp_path / "other", **RECORDED):
        loop.run()
    found = rows(folder)
    assert found == rows(tmp_path / "other")
    assert [number for number, _ in found["passes"]] == list(range(400))
