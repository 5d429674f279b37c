"""Runs beside each other: those that differ in nothing but the seed are one group, with their mean and spread."""

from pathlib import Path

from looptree.observe.report import report
from looptree.observe.report.groups import differences, flat, grouped
from looptree.observe.report.side_by_side import side_by_side
from tests.observe.recorded import Training, recorded
from tests.observe.report.test_page import Read


def made(folder: Path, name: str, gain: float, **settings: object) -> object:
    return recorded(folder / name, Training(gain=gain), settings=settings)


def test_runs_of_the_same_settings_are_a_group(tmp_path: Path) -> None:
    runs = [
        made(tmp_path, "a", 1.0, seed=0, net={"lr": 0.1}, algorithm="dqn"),
        made(tmp_path, "b", 1.0, seed=0, net={"lr": 0.2}, algorithm="dqn"),
        made(tmp_path, "c", 1.0, seed=1, net={"lr": 0.1}, algorithm="dqn"),
        made(tmp_path, "d", 1.0, algorithm="dqn"),
    ]
    groups = grouped(runs)
    assert [[run.folder.name for run in group.runs] for group in groups] == [["a", "c"], ["b"], ["d"]]
    assert [group.name for group in groups] == ["lr 0.1", "lr 0.2", "Training"]


def test_settings_inside_settings_are_told_apart() -> None:
    assert flat({"seed": 1, "net": {"sizes": [1, 2], "act": "relu", "none": {}}, "x": None}) == {
        "seed": "1", "net.sizes": "[1, 2]", "net.act": "relu", "net.none": "{}", "x": "null"
    }  # fmt: skip
    assert flat({}) == {}
    (differing,) = differences([{"a": "1", "b": "2"}, {"a": "1"}])
    assert (differing.name, differing.values) == ("b", ("2", ""))


def test_a_group_is_drawn_as_mean_and_spread(tmp_path: Path) -> None:
    runs = [made(tmp_path, str(gain), gain, seed=gain) for gain in (1.0, 2.0, 6.0)]
    page = Read(report(*runs).html)
    loss, _ = page.data["charts"]
    (mean,) = loss["steps"]
    assert mean["kind"] == "mean"
    assert (mean["x"][0], mean["x"][-1]) == (4, 48)
    assert [mean[line][0] for line in ("low", "y", "high")] == [1, 3, 6]
    assert [mean[line][-1] for line in ("low", "y", "high")] == [12, 36, 72]
    assert page.tables["Table of loss"][-1] == ["48", "36 (12 to 72)"]
    assert "3 runs of Training" in page.text
    assert "36 at the end, 12 to 72 in 3 runs." in page.text


def test_groups_are_drawn_over_each_other(tmp_path: Path) -> None:
    runs = [made(tmp_path, "a", 1.0, lr=1), made(tmp_path, "b", 2.0, lr=2), made(tmp_path, "c", 4.0, lr=2, seed=1)]
    page = Read(report(*runs).html)
    loss, _ = page.data["charts"]
    assert [(series["group"], series["kind"]) for series in loss["steps"]] == [(0, "values"), (1, "mean")]
    assert page.tables["Table of loss"][0] == ["samples", "lr 1", "lr 2"]
    assert page.tables["Table of loss"][-1] == ["48", "12", "36 (24 to 48)"]
    assert page.tables["settings-differ"] == [["Name", "lr 1", "lr 2"], ["lr", "1", "2"]]
    assert "versions-differ" not in page.tables


def test_a_run_that_ended_sooner_counts_where_it_was(tmp_path: Path) -> None:
    runs = [
        recorded(tmp_path / "short", Training(times=6, gain=3.0), settings={"seed": 0}),
        recorded(tmp_path / "long", Training(times=12, gain=1.0), settings={"seed": 1}),
    ]
    (mean,) = Read(report(*runs).html).data["charts"][0]["steps"]
    at = {x: (low, high) for x, low, high in zip(mean["x"], mean["low"], mean["high"], strict=True)}
    assert at[4] == (1, 3)
    assert at[48] == (12, 12)


def test_times_stand_beside_each_other(tmp_path: Path) -> None:
    runs = [made(tmp_path, "a", 1.0, lr=1), made(tmp_path, "b", 1.0, lr=2), made(tmp_path, "c", 1.0, lr=2, seed=1)]
    first, second = grouped(runs)
    rows = side_by_side([first, second])
    path = "training.train.on_step"
    times = [{timing.path: timing for timing in run.timings}[path] for run in runs]
    alone, mean = rows[path]
    assert alone is not None
    assert mean is not None
    assert (alone.mean_s, alone.own_share) == (times[0].mean_s, times[0].own_s / times[0].all_s)
    assert mean.mean_s == (times[1].mean_s + times[2].mean_s) / 2
    assert [row[0] for row in Read(report(*runs).html).tables["Table of times"][1:]] == list(rows)


def test_what_only_one_group_has_stands_alone(tmp_path: Path) -> None:
    runs = [
        recorded(tmp_path / "a", settings={"lr": 1}, metrics=("loss",)),
        recorded(tmp_path / "b", settings={"lr": 2}, metrics=("rate",), over="count"),
    ]
    page = Read(report(*runs).html)
    assert [[series["group"] for series in chart["steps"]] for chart in page.data["charts"]] == [[0], [1]]
    assert page.tables["Table of rate"][-1][:2] == ["12", ""]
    assert page.data["axes"]["steps"]["name"] == "steps"
