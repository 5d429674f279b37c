"""What CSVLog and TensorBoardLog write is what a person would have written down, read back with the real readers."""

import csv
import math
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from looptree import Callback, Loop
from looptree.callbacks.csv_log import CSVLog
from looptree.callbacks.tensorboard_log import TensorBoardLog
from looptree.core.errors import BadSetting, FieldWarning, NoSuchField


class Training(Loop):
    loss: float
    samples = 0

    def on_step(self) -> None:
        self.samples += 10
        self.loss = math.nan if self.count == 0 else 1 / (self.count // 2 + 1)
        self.words = "no number"


LOSSES = [math.nan, 1.0, 1 / 2, 1 / 2, 1 / 3]


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))


def test_a_csv_file_has_a_row_for_each_new_value(tmp_path: Path) -> None:
    file = tmp_path / "metrics.csv"
    Training(times=5, cbs=CSVLog(file, "loss", "training.samples", over="samples")).run()
    read = rows(file)
    assert list(read[0]) == ["samples", "seconds", "loss", "training.samples"]
    assert [float(row["loss"] or "nan") for row in read] == pytest.approx(LOSSES, nan_ok=True, abs=0)
    assert [int(float(row["samples"])) for row in read] == [10, 20, 30, 40, 50]
    seconds = [float(row["seconds"]) for row in read]
    assert seconds == sorted(seconds)


def test_a_csv_file_goes_on_with_the_next_run(tmp_path: Path) -> None:
    loop = Training(times=2, cbs=CSVLog(tmp_path / "metrics.csv", "loss"))
    loop.run()
    loop.run()
    assert [(row["count"], row["loss"]) for row in rows(tmp_path / "metrics.csv")] == [("2", "1.0"), ("3", "0.5")]


def test_a_csv_file_that_is_there_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "metrics.csv"
    file.write_text("mine")
    with pytest.raises(BadSetting, match=r"is there already\. Name another file"):
        Training(cbs=CSVLog(file, "loss")).run()
    assert file.read_text() == "mine"
    with pytest.raises(BadSetting, match="cannot be made: No such file or directory"):
        Training(cbs=CSVLog(tmp_path / "none" / "metrics.csv", "loss")).run()


def test_a_failing_run_leaves_its_rows(tmp_path: Path) -> None:
    class Fails(Training):
        def after_step(self) -> None:
            if self.count == 3:
                raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        Fails(times=9, cbs=CSVLog(tmp_path / "metrics.csv", "loss")).run()
    assert [row["count"] for row in rows(tmp_path / "metrics.csv")] == ["2", "3"]


class Judge(Callback):
    def after_pass(self) -> None:
        self.loop.grade = 10 * self.loop.count


class Judged(Loop):
    grade = -1

    def on_step(self) -> None:
        pass


def test_rows_have_what_other_callbacks_write_after_the_pass(tmp_path: Path) -> None:
    Judged(times=3, cbs=[CSVLog(tmp_path / "metrics.csv", "grade"), Judge]).run()
    assert [row["grade"] for row in rows(tmp_path / "metrics.csv")] == ["0.0", "10.0", "20.0"]


def test_a_log_goes_on_with_another_loop(tmp_path: Path) -> None:
    log, board = CSVLog(tmp_path / "metrics.csv", "loss"), TensorBoardLog(tmp_path / "run", "loss")
    for times in (3, 2):
        Training(times=times).run(cbs=[log, board])
    shown = [(row["count"], row["loss"]) for row in rows(tmp_path / "metrics.csv")]
    assert shown == [("2", "1.0"), ("3", "0.5"), ("1", ""), ("2", "1.0")]
    events = EventAccumulator(str(tmp_path / "run"))
    events.Reload()
    assert [event.value for event in events.Scalars("loss")] == pytest.approx([1.0, 0.5, math.nan, 1.0], nan_ok=True)


@pytest.mark.parametrize("log", [CSVLog, TensorBoardLog])
def test_a_log_may_be_added_while_the_loop_runs(log: type[CSVLog] | type[TensorBoardLog], tmp_path: Path) -> None:
    class Adding(Training):
        def after_step(self) -> None:
            if self.count == 1:
                self.add_cb(log(tmp_path / "log", "loss"))

    Adding(times=4).run()
    if log is CSVLog:
        assert [(row["count"], row["loss"]) for row in rows(tmp_path / "log")] == [("3", "0.5")]
    else:
        events = EventAccumulator(str(tmp_path / "log"))
        events.Reload()
        assert [(event.step, event.value) for event in events.Scalars("loss")] == [(3, 0.5)]


def test_tensorboard_reads_each_new_value_at_its_step(tmp_path: Path) -> None:
    loop = Training(times=3, cbs=TensorBoardLog(tmp_path / "run", "loss", "training.samples", over="samples"))
    loop.run()
    loop.run(2)
    events = EventAccumulator(str(tmp_path / "run"))
    events.Reload()
    assert sorted(events.Tags()["scalars"]) == ["loss", "training.samples"]
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [
        (20, 1.0),
        (30, 0.5),
        (50, pytest.approx(1 / 3)),
    ]
    assert [event.step for event in events.Scalars("training.samples")] == [10, 20, 30, 40, 50]


@pytest.mark.parametrize("log", [CSVLog, TensorBoardLog])
def test_what_does_not_fit(log: type[CSVLog] | type[TensorBoardLog], tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="without a metric writes nothing"):
        log(tmp_path / "log")
    with pytest.raises(NoSuchField, match="Nearest is 'loss'"):
        Training(cbs=log(tmp_path / "log", "los")).run()
    with pytest.warns(FieldWarning, match="The metric 'words' is a str and left out; a number would fit"):
        Training(times=3, cbs=log(tmp_path / "log", "words", "loss")).run()
