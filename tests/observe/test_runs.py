"""What a Recorder writes is what happened, and a Run reads it, whatever became of the process."""

import json
import math
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from looptree import Callback, Cancel, Loop, Trace
from looptree.core.errors import FieldWarning, NoSuchField
from looptree.observe.runs import NotARun, Recorder, Run
from looptree.observe.runs.recorder import RunExists
from looptree.observe.runs.run import NoSuchStep
from looptree.observe.save import CannotSave
from tests.observe.recorded import Half, Training
from tests.parsed_html import Parsed, shown_html

KILLS = int(os.environ.get("LOOPTREE_KILLS", "5"))


class Log(Callback):
    """What a careful person would have written down by hand."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []

    def after_pass(self) -> None:
        self.rows.append({name: getattr(self.loop, name) for name in ("count", "samples", "loss", "rate")})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "first"


@pytest.mark.parametrize("metric", ["loss", "rate"])
def test_a_metric_is_what_it_was_after_each_pass(folder: Path, metric: str) -> None:
    log = Log()
    loop = Training().add_cb(log)
    with Recorder(loop, folder, metrics=("loss", "rate"), over="samples"):
        loop.run()
    curve = Run(folder).metric(metric)
    rows = dict(zip(curve.passes, zip(curve.steps, curve.values)))
    now = math.nan
    for by_hand in log.rows:
        step, now = rows.get(by_hand["count"], (by_hand["samples"], now))
        assert step == by_hand["samples"]
        assert now == pytest.approx(by_hand[metric], nan_ok=True, abs=0)
    assert len(set(curve.values)) == len(curve.values) == len({row[metric] for row in log.rows} - {math.nan})


def test_a_run_says_how_far_it_came(folder: Path) -> None:
    loop = Training()
    with Recorder(loop, folder, metrics=("loss", "training.rate"), over="samples"):
        loop.run()
    run = Run(folder)
    assert run.metrics == ("loss", "training.rate")
    assert (run.passes, run.steps, run.over, run.loop) == (12, 48, "samples", "training")
    assert run.ended == "ran all 12 items"
    assert run.metric("loss").at_s == sorted(run.metric("loss").at_s)
    assert str(run) == f"{folder}: training ran all 12 items\n12 passes, samples 48\nloss 12\ntraining.rate 0.0625"


def test_a_notebook_shows_how_a_run_went_with_a_link_to_its_folder(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    loop = Training()
    with Recorder(loop, "runs/<first> & 2nd", metrics=("loss",)):
        loop.run()
    page = Parsed(shown_html(Run("runs/<first> & 2nd")))
    link, *words = page.text
    assert link == "runs/<first> & 2nd"
    assert words == [": training ran all 12 items", "12 passes, count 12", "metric", "latest", "loss", "12"]
    addresses = [attributes["href"] for tag, attributes in page.seen if tag == "a"]
    assert addresses == ["./runs/%3Cfirst%3E%20%26%202nd"]
    absolute = Parsed(shown_html(Run(tmp_path / "runs" / "<first> & 2nd")))
    assert next(attributes["href"] for tag, attributes in absolute.seen if tag == "a").startswith("file:///")


def test_a_value_that_becomes_nan_leaves_a_gap(folder: Path) -> None:
    class Odd(Loop):
        value = 1.0

        def on_step(self) -> None:
            self.value = math.nan if self.count == 2 else 1.0

    loop = Odd(times=5)
    with Recorder(loop, folder, metrics=["value"]):
        loop.run()
    curve = Run(folder).metric("value")
    assert curve.passes == [0, 2, 3]
    assert math.isnan(curve.values[1])
    assert curve.steps == [1, 3, 4]  # passes done


def test_a_metric_is_what_it_is_when_all_have_done_their_part_in_a_pass(folder: Path) -> None:
    class Judge(Callback):
        def after_pass(self) -> None:
            self.loop.score = 10 * self.loop.count

    class Scored(Loop):
        score = -1

        def on_step(self) -> None:
            pass

    loop = Scored(times=4)
    with Recorder(loop, folder, metrics=["score"]):
        loop.run(cbs=Judge)
    assert Run(folder).metric("score").values == [0, 10, 20, 30]


class Left(Loop):
    """Leaves every other pass early, in one way or another."""

    value: int

    def __init__(self, way: str, times: int) -> None:
        self.way = way
        super().__init__(times=times)

    def on_step(self) -> None:
        self.value = self.samples = 3 * self.count
        if self.count % 2:
            raise ValueError("odd") if self.way in ("recovered", "failed") else Cancel(self.way)

    def failed_pass(self) -> None:
        if self.way == "recovered":
            self.recover()

    def after_pass(self) -> None:
        assert self.count % 2 == 0


@pytest.mark.parametrize("way", ["pass", "recovered"])
def test_a_pass_that_is_left_early_is_recorded_as_it_was_then(folder: Path, way: str) -> None:
    loop = Left(way, times=6)
    with Recorder(loop, folder, metrics=["value"], over="samples"):
        loop.run()
    run = Run(folder)
    curve = run.metric("value")
    assert (run.passes, run.passes_done) == (6, 6)
    assert (curve.passes, curve.values) == ([0, 1, 2, 3, 4, 5], [0, 3, 6, 9, 12, 15])
    assert curve.steps == curve.values


def test_a_pass_with_which_a_run_is_cancelled_is_recorded_and_one_that_failed_is_not(folder: Path) -> None:
    loop = Left("run", times=6)
    with Recorder(loop, folder, metrics=["value"]):
        loop.run()
        loop.way = "failed"
        with pytest.raises(ValueError, match="odd"):
            loop.run()
    assert loop.count == 3
    assert Run(folder).metric("value").values == [0, 3, 6]


def test_a_pass_that_was_left_early_is_on_the_disk_before_the_next_checkpoint(folder: Path) -> None:
    class Keep(Callback):
        def before_pass(self, _order: int = -1000) -> None:
            recorder.on_disk()()
            seen.append(Run(folder).passes)

    seen: list[int] = []
    loop = Left("pass", times=4)
    with Recorder(loop, folder) as recorder:
        loop.run(cbs=Keep)
    assert seen == [0, 1, 2, 3]


def test_changes_and_writers_are_those_of_a_trace(folder: Path) -> None:
    traced, recorded = Training(), Training()
    with Trace(traced, "rate", "loss", "inside") as trace:
        traced.run()
    with Recorder(recorded, folder, over="samples", fields=("rate", "loss", "inside")):
        recorded.run()
    run = Run(folder)
    assert run.fields == ("training.inner.inside", "training.loss", "training.rate")
    for field in ("rate", "loss", "inside"):
        kept = [(change.at, change.hook, change.value) for change in run.changes(field)]
        assert kept == [(str(change.at), change.hook, change.new) for change in trace[field]]
        assert run.writers(field) == trace.writers(field)
    assert [change.pass_ for change in run.changes("rate")] == [2, 5, 8, 11]
    assert [change.step for change in run.changes("rate")] == [12, 24, 36, 48]
    numbers = [change.number for field in run.fields for change in run.changes(field)]
    assert sorted(numbers) == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("recorded", ["fit", "fit.fit"])
def test_the_pass_of_a_change_is_that_of_the_loop_recorded(folder: Path, recorded: str) -> None:
    class Inner(Loop):
        call_on = "on_step"
        times = 3

        def on_work(self) -> None:
            self.y = self.item

    class Outer(Loop):
        def on_step(self) -> None:
            pass

    loop = Outer(Inner(name="fit"), times=2, name="fit")
    with Recorder(loop if recorded == "fit" else loop.fit, folder, fields=["y"]):
        loop.run()
    passes = [0, 0, 0, 1, 1, 1] if recorded == "fit" else [0, 1, 2, 3, 4, 5]
    assert [change.pass_ for change in Run(folder).changes("y")] == passes


def test_times_are_those_of_the_profile(folder: Path) -> None:
    loop = Training()
    with Recorder(loop, folder) as recorder:
        loop.run()
    timings = Run(folder).timings
    tree = [(timing.path, timing.name, timing.note, timing.depth) for timing in timings]
    assert tree == [(timing.path, timing.name, timing.note, timing.depth) for timing in recorder.profile]
    assert {timing.path: timing.calls for timing in timings}["training.train.on_step"] == 12
    assert sum(timing.own_s for timing in timings) == pytest.approx(timings[0].all_s, rel=0.01)


def test_the_tree_the_code_and_the_settings_are_there(folder: Path) -> None:
    loop = Training()
    with Recorder(loop, folder, settings={"rate": 1.0, "<b>": "</script>"}):
        loop.run()
    run = Run(folder)
    assert run.settings == {"rate": 1.0, "<b>": "</script>"}
    assert run.description["name"] == "training"
    assert run.versions["python"] == ".".join(map(str, sys.version_info[:3]))
    paths = {timing.key: timing.path for timing in run.timings}
    on_lines = {paths[key] for _, key in run.code if key is not None}
    assert on_lines >= {"training.before_pass", "training.train.half.after_step", "training.inner"}
    assert not any("clock" in text for text, _ in run.code)  # the code as it is when nobody looks
    assert "training.recorder.after_pass" in on_lines
    assert [callback.name for callback in loop.cbs] == ["half"]


def test_a_run_is_read_while_it_goes_on(folder: Path) -> None:
    seen = []

    class Look(Callback):
        def after_pass(self) -> None:
            if self.loop.count == 3:
                time.sleep(0.6)
                seen.append((Run(folder).passes, Run(folder).ended))

    loop = Training().add_cb(Look())
    with Recorder(loop, folder, metrics=["loss"]):
        loop.run()
    ((passes, ended),) = seen
    assert passes >= 3
    assert ended is None


def test_a_pass_is_there_with_all_its_metrics_or_not_at_all(folder: Path) -> None:
    """A metric that takes so long to read that all that has come in by then is written meanwhile."""
    seen = []

    class Slow:
        def __init__(self, value: int) -> None:
            self.value = value

        def __float__(self) -> float:
            time.sleep(0.6)
            seen.append(Run(folder).passes)
            return float(self.value)

    class Slowly(Loop):
        def on_step(self) -> None:
            self.value = Slow(self.count)

    with Recorder(loop := Slowly(times=2), folder, metrics=["value"]):
        loop.run()
    assert seen == [0, 1]
    assert Run(folder).metric("value").values == [0.0, 1.0]


def test_a_run_that_goes_on_stands_still_for_as_long_as_it_is_read(folder: Path) -> None:
    with Recorder(Training(), folder, metrics=["rate"]) as recorder:
        recorder.loop.run()
    run = Run(folder)
    writer = sqlite3.connect(folder / "run.db")
    writer.execute("PRAGMA journal_mode = WAL")  # as while it goes on
    with run.still(), run.still():
        assert (run.passes, run.passes_done) == (12, 12)
        with writer:
            writer.execute("INSERT INTO passes VALUES (12, 52, 9)")
        assert (run.passes, run.passes_done) == (12, 12)
    assert (run.passes, run.passes_done) == (13, 13)
    writer.close()


def test_how_quick_a_run_was_leaves_out_what_was_done_before(folder: Path) -> None:
    loop = Training()
    loop.run(100)
    with Recorder(loop, folder, metrics=["loss"], over="samples"):
        loop.run(5)
    run = Run(folder)
    first, *_, last = run.metric("loss").at_s
    assert (run.passes, run.passes_done, run.steps) == (5, 105, 420)
    assert run.steps_per_s == pytest.approx(4 * 4 / (last - first))


def test_two_runs_in_one_recording_follow_each_other(folder: Path) -> None:
    loop = Training(times=3)
    with Recorder(loop, folder, metrics=["rate"]):
        loop.run()
        loop.run()
    assert Run(folder).passes == 6


def test_a_failure_is_how_it_ended(folder: Path) -> None:
    class Fails(Loop):
        def on_step(self) -> None:
            if self.count == 2:
                raise ValueError("no more")

    loop = Fails(times=5)
    with pytest.raises(ValueError, match="no more"), Recorder(loop, folder):
        loop.run()
    run = Run(folder)
    assert run.ended == "failed in Fails.on_step: ValueError: no more"
    assert run.passes == 2
    assert loop.cbs == []


def test_a_metric_that_is_no_number_is_told_and_left_out(folder: Path) -> None:
    class Text(Loop):
        words = "a b"
        number = 2

        def on_step(self) -> None:
            pass

    loop = Text(times=2)
    with (
        pytest.warns(FieldWarning, match="'words' is a str and left out"),
        Recorder(loop, folder, metrics=["words", "number"]),
    ):
        loop.run()
    assert Run(folder).metrics == ("number",)


# what does not fit


def test_a_field_that_there_is_not(folder: Path) -> None:
    loop = Training()
    with pytest.raises(NoSuchField, match="Nearest is 'rate'"):
        Recorder(loop, folder, fields=["rat"]).__enter__()
    assert not folder.exists()
    with Recorder(loop, folder, metrics=["loss"], fields=["rate"]):
        loop.run()
    run = Run(folder)
    with pytest.raises(NoSuchField, match=r"has no metric 'los'. Nearest is 'loss'"):
        run.metric("los")
    with pytest.raises(NoSuchField, match=r"'rat' was not traced in .* Nearest is 'rate'"):
        run.changes("rat")


def test_a_folder_with_a_run_in_it_is_left_alone(folder: Path) -> None:
    with Recorder(Training(), folder):
        pass
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(RunExists, match="Name another folder"):
        Recorder(Training(), folder).__enter__()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    loop = Training()
    with pytest.raises(CannotSave, match="file is a file; a folder that may be written to, or made, would fit"):
        Recorder(loop, tmp_path / "file" / "run").__enter__()
    assert loop.watchers == ()
    assert [callback.name for callback in loop.cbs] == ["half"]


def test_what_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(NotARun, match="does not exist"):
        Run(tmp_path / "nothing")
    (tmp_path / "file").write_text("")
    with pytest.raises(NotARun, match="is a file"):
        Run(tmp_path / "file")
    with pytest.raises(NotARun, match=r"there is no run\.db"):
        Run(tmp_path)
    (tmp_path / "run.db").write_bytes(b"not a database at all" * 100)
    with pytest.raises(NotARun, match=r"run\.db cannot be read: file is not a database"):
        Run(tmp_path)
    (tmp_path / "run.db").unlink()
    sqlite3.connect(tmp_path / "run.db").execute("CREATE TABLE mine (a)").connection.close()
    with pytest.raises(NotARun, match="not a database that looptree wrote"):
        Run(tmp_path)


def test_a_database_of_another_format(folder: Path) -> None:
    with Recorder(Training(), folder):
        pass
    connection = sqlite3.connect(folder / "run.db")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(NotARun, match="format 99, and this looptree reads format 2; the looptree that"):
        Run(folder)


@pytest.mark.parametrize("text", ["", "{", "[1, 2", "3", "[" * 100_000])
def test_a_damaged_file_is_named(folder: Path, text: str) -> None:
    with Recorder(Training(), folder):
        pass
    (folder / "settings.json").write_text(text)
    with pytest.raises(NotARun, match=r"settings\.json cannot be read"):
        print(Run(folder).settings)


# killed

TRAINS = """
import sys, time
from looptree import Loop
from looptree.observe.runs import Recorder

class Training(Loop):
    loss = 0.0
    def on_step(self):
        time.sleep(0.001)
        self.loss = float(self.count)
    def after_pass(self):
        print(self.count, time.time(), flush=True)

loop = Training(times=1_000_000)
with Recorder(loop, sys.argv[1], metrics=["loss"], fields=["loss"]):
    loop.run()
"""


def test_a_killed_run_lacks_at_most_a_second(tmp_path: Path) -> None:
    moments = random.Random(0)
    for kill in range(KILLS):
        folder = tmp_path / str(kill)
        child = subprocess.Popen([sys.executable, "-c", TRAINS, str(folder)], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        lines = [child.stdout.readline()]  # it trains
        time.sleep(moments.uniform(0, 1.5))
        killed = time.time()
        child.send_signal(signal.SIGKILL)
        lines += child.stdout.readlines()
        child.communicate()
        done = [(int(number), float(at)) for number, at in (line.split() for line in lines if line.endswith("\n"))]
        run = Run(folder)
        assert run.ended is None
        connection = sqlite3.connect(folder / "run.db")
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        connection.close()
        long_ago = [number for number, at in done if at < killed - 1]
        assert run.passes >= len(long_ago)
        if run.passes:
            curve = run.metric("loss")
            assert curve.values == [float(number) for number in curve.passes] == list(range(run.passes))
        numbers = [change.number for change in run.changes("loss")] if run.fields else []
        assert numbers == list(range(1, len(numbers) + 1))


def test_settings_are_plain_json(folder: Path) -> None:
    with Recorder(Training(), folder, settings={"a": [1, 2]}):
        pass
    assert json.loads((folder / "settings.json").read_text()) == {"a": [1, 2]}


# why


def test_why_a_field_was_what_it_was(folder: Path) -> None:
    loop = Training()
    with Recorder(loop, folder, over="samples", fields=("rate",)):
        loop.run()
    run = Run(folder)
    cause = run.why("rate", 30)
    assert (cause.change.pass_, cause.change.hook, cause.change.old, cause.change.new) == (
        5,
        "Half.after_step",
        "0.5",
        "0.25",
    )
    assert "training.rate" in cause.reads
    assert cause.source.endswith(f"recorded.py:{Half.after_step.__code__.co_firstlineno}")
    assert run.why("training.rate").change.new == "0.0625"
    with pytest.raises(NoSuchStep, match=r"came to samples 48, not to 49"):
        run.why("rate", 49)
    with pytest.raises(NoSuchStep, match=r"training\.rate had not been changed by samples 4"):
        run.why("rate", 4)


def test_passes_that_are_quicker_than_any_disk_are_all_written(tmp_path: Path) -> None:
    class Quick(Loop):
        value: int

        def on_step(self) -> None:
            self.value = self.count

    with Recorder(Quick(times=250_000), tmp_path / "run", metrics=("value",), fields=("value",)) as recorder:
        recorder.loop.run()
    run = Run(tmp_path / "run")
    assert recorder.whole
    assert (run.passes, run.writers("value")) == (250_000, {"Quick.on_step": 250_000})
    assert run.metric("value").values[-1] == 249_999
