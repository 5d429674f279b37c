"""Each bad input: exit status 2, one sentence on standard error that says what would fit, nothing run or written."""

import os
import shutil
import socket
import sys
import tempfile
from pathlib import Path

import pytest

from looptree.cli.main import COMMANDS, main
from looptree.core.errors import listed
from looptree.rl.algorithms import ALGORITHMS

NAMES = listed(ALGORITHMS)
ALL_COMMANDS = listed(COMMANDS)
TRAIN = ["train", "dqn", "CartPole-v1"]
SHORT = [
    "--steps",
    "600",
    "--learning-starts-env-steps",
    "200",
    "--gradient-steps-per-pass",
    "8",
    "--hidden-sizes",
    "8",
]

CASES = {
    "no command": ([], f"a command is missing: {ALL_COMMANDS} would fit;"),
    "unknown command": (["trian"], "there is no command 'trian'; nearest is 'train'."),
    "very unknown command": (["?"], f"there is no command '?'; {ALL_COMMANDS} would fit."),
    "no algorithm": (["train"], f"train is followed by an algorithm ({NAMES}) and an environment:"),
    "unknown algorithm": (["train", "dqm", "CartPole-v1"], "there is no algorithm 'dqm'; nearest is 'dqn'."),
    "very unknown algorithm": (["train", "xyz", "CartPole-v1"], f"there is no algorithm 'xyz'; {NAMES} would fit."),
    "no environment": (["train", "dqn"], "train dqn is followed by an environment: looptree train dqn CartPole-v1"),
    "options first": (["train", "--steps", "9"], "train is followed by an algorithm"),
    "unknown environment": (
        ["describe", "dqn", "Cartpol-v1"],
        "No environment is registered as 'Cartpol-v1'. The nearest ids are 'CartPole-v1'",
    ),
    "actions that do not fit": (["train", "dqn", "Pendulum-v1"], "(-2.0, 2.0, (1,), float32); 'a2c' and 'ppo' can."),
    "negative steps": ([*TRAIN, "--steps", "-4"], "--steps -4: a whole number of 1 or more would fit."),
    "no steps": ([*TRAIN, "--steps=0"], "--steps 0: a whole number of 1 or more would fit."),
    "words for steps": ([*TRAIN, "--steps", "many"], "--steps many: a whole number would fit."),
    "a missing value": ([*TRAIN, "--steps"], "--steps without a value: a whole number would fit."),
    "a share above 1": ([*TRAIN, "--gamma", "2"], "--gamma 2.0: a number from 0 to 1 would fit."),
    "words for sizes": (
        [*TRAIN, "--hidden-sizes", "a", "b", "--seed", "1"],
        "--hidden-sizes a b: whole numbers with spaces between would fit.",
    ),
    "contradiction": (
        [*TRAIN, "--steps", "100", "--learning-starts-env-steps", "200"],
        "--learning-starts-env-steps 200, --steps 100: these contradict each other;"
        " --learning-starts-env-steps < --steps would fit.",
    ),
    "unknown option": (
        [*TRAIN, "--lerning-rate", "3"],
        "there is no option '--lerning-rate'; nearest is --learning-rate",
    ),
    "a word too many": ([*TRAIN, "now"], "there is no option 'now'; looptree train dqn CartPole-v1 --help lists all."),
    "negative seed": ([*TRAIN, "--seed", "-1"], "--seed -1: a whole number of 0 or more would fit."),
    "out for another command": (
        ["describe", "dqn", "CartPole-v1", "--out", "x"],
        "there is no option '--out'",
    ),
    "unknown field": (
        ["trace", "dqn", "CartPole-v1", "--fields", "epsilon, los"],
        "--fields: No loop or callback of dqn has a field 'los'. Nearest is 'loss'.",
    ),
    "no time between checkpoints": (
        [*TRAIN, "--checkpoint-every-s", "-2"],
        "--checkpoint-every-s -2: seconds would fit, 0 for no checkpoints.",
    ),
    "unknown vectorization": (
        [*TRAIN, "--vectorization", "threads"],
        "--vectorization threads: one of 'auto', 'native', 'sync'",
    ),
    "unknown wrapper": (
        [*TRAIN, "--wrappers", "TimeAwareObservation", "FlatenObservation", "--seed", "1"],
        "gymnasium.wrappers has no wrapper 'FlatenObservation'; nearest is 'FlattenObservation'.",
    ),
    "wrapper that is no literal": (
        [*TRAIN, "--wrappers", "TimeLimit(max_episode_steps=print())"],
        "a name with literals in brackets would fit",
    ),
    "wrappers without a name": (
        [*TRAIN, "--wrappers", "--seed", "1"],
        "--wrappers without a value: names with spaces between would fit.",
    ),
    "a folder without a name": ([*TRAIN, "--out", ""], "--out without a value: a path would fit."),
    "trace of nothing": (
        ["trace", "nothere"],
        f"there is neither an algorithm nor the folder of a run 'nothere'; {NAMES} would fit.",
    ),
    "presets of no algorithm": (["presets", "dqm"], "there is no algorithm 'dqm'; nearest is 'dqn'."),
    "presets of two": (["presets", "dqn", "ppo"], f"presets is followed by one algorithm at most ({NAMES}):"),
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "run"
    assert main([*TRAIN, *SHORT, "--out", str(folder)]) == 0
    return folder


@pytest.fixture
def run(trained, tmp_path, capsys):
    capsys.readouterr()
    return Path(shutil.copytree(trained, tmp_path / "run"))


@pytest.mark.parametrize("name", CASES)
def test_it_is_one_sentence_that_says_what_would_fit(name, capsys, tmp_path, monkeypatch):
    words, sentence = CASES[name]
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("looptree: ") and sentence in said.err
    assert said.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_found_before_training(capsys, tmp_path):
    file = tmp_path / "file"
    file.write_text("mine")
    for folder in (file, file / "below"):
        assert main([*TRAIN, "--out", str(folder)]) == 2
        said = capsys.readouterr()
        assert said.out == "" and said.err == (
            f"looptree: --out: {folder}: {file} is a file; a folder that may be written to, or made, would fit.\n"
        )
    assert file.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("what_is_left", ["all", "checkpoints"])
def test_a_folder_with_a_run_in_it_is_left_alone(capsys, run, what_is_left):
    if what_is_left == "checkpoints":
        (run / "run.db").unlink()
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert main([*TRAIN, "--out", str(run)]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err == (
        f"looptree: --out: {run} has a run in it already. Name another folder, or move that one away.\n"
    )
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("command", ["trace", "why"])
def test_a_folder_without_a_whole_run_is_one_sentence(command, capsys, tmp_path, run):
    words = ["epsilon"] if command == "why" else []
    (tmp_path / "empty").mkdir()
    assert main([command, str(tmp_path / "empty"), *words]) == 2
    assert capsys.readouterr().err == f"looptree: {tmp_path / 'empty'} has no run in it: there is no run.db.\n"
    whole = (run / "run.db").read_bytes()
    (run / "run.db").write_bytes(whole[: len(whole) // 2])
    assert main([command, str(run), *words]) == 2
    assert capsys.readouterr().err.startswith(f"looptree: {run / 'run.db'} cannot be read: ")
    (run / "run.db").write_text("something else")
    assert main([command, str(run), *words]) == 2
    assert capsys.readouterr().err == f"looptree: {run / 'run.db'} cannot be read: file is not a database.\n"


def test_what_a_run_does_not_know_is_one_sentence(capsys, run):
    for words, sentence in {
        ("why", run, "epsilom"): f"The field 'epsilom' was not traced in {run}. Nearest is 'epsilon'.",
        ("why", run, "epsilon", "--step", "601"): f"{run} came to env_steps 600, not to 601.",
        ("why", run, "--step", "abc", "epsilon"): "--step abc epsilon: a number would fit.",
        ("why", "epsilon"): "why is followed by the folder of a run and a field: looptree why RUN epsilon",
        ("play", "--episodes", "0", run): "--episodes 0: a whole number of 1 or more would fit.",
        (
            "resume",
            "--checkpoint-every-s",
            "5",
        ): "resume is followed by the folder of a run: looptree resume RUN, which",
        ("why", run): "why is followed by the folder of a run and a field: looptree why RUN epsilon --step 12000",
        ("trace", run, "--fields", "los"): f"The field 'los' was not traced in {run}. ",
        ("trace", run, "--stop-if", "loss < 1"): f"The field 'loss' was not traced in {run}. ",
        ("trace", run, "--stop-if", "print()"): "--stop-if: 'print()' is not a condition on fields; comparisons of",
        ("trace", "dqn", "CartPole-v1", "--stop-if", "los < 1"): "--stop-if: No loop or callback of dqn has a field",
        ("trace", "dqn", "CartPole-v1", "--stop-if", "__import__('os')"): "is not a condition on fields; comparisons",
        ("report",): "report is followed by the folder of a run, or by several: looptree report runs/first",
        ("report", run, run / "nothing"): f"{run / 'nothing'} does not exist; the folder of a run would fit.",
        (
            "report",
            run,
            "--out",
            run / "none" / "page.html",
        ): f"{run / 'none' / 'page.html'} cannot be written: No such",
        ("report", run, "--oput", "page.html"): "there is no option '--oput'; nearest is --out.",
        ("report", "--live"): "report is followed by the folder of a run, or by several: looptree report runs/first",
        ("report", "--live", run / "nothing"): f"{run / 'nothing'} does not exist; the folder of a run would fit.",
        ("report", "--live", run, run): "--live follows one run: looptree report --live runs/first",
        ("report", "--live", run, "--out", "x.html"): "--live, --out x.html: these contradict each other; a page is",
        ("report", "--live", run, "--port", "65536"): "Port 65536: a whole number from 0 to 65535 would fit;",
        ("report", "--live", run, "--port", "many"): "--port many: a whole number would fit.",
        ("report", "--port", "8000", run): "--port 8000 goes with --live: looptree report --live RUN --port 8000",
        ("runs", run / "nothing"): f"there is no folder {run / 'nothing'}; looptree train makes one",
        ("resume",): "resume is followed by the folder of a run: looptree resume RUN, which looptree train made",
        ("resume", run / "nothing"): f"{run / 'nothing'} does not exist; the folder of a run would fit.",
        ("resume", run): f"{run} has made all of its 600 env steps; looptree play {run} plays its agent",
        ("resume", run, "--env-ids", "x"): "there is no option '--env-ids'; nearest is --env-id.",
        ("resume", run, "--checkpoint-every-s", "-1"): "--checkpoint-every-s -1: seconds would fit, 0 for no",
        ("resume", run, "--checkpoint-every-s", "nan"): "--checkpoint-every-s nan: seconds would fit, 0 for no",
        ("runs", "--all"): "runs is followed by one folder at most: looptree runs runs",
    }.items():
        assert main(list(map(str, words))) == 2, words
        said = capsys.readouterr()
        assert said.out == "" and said.err.count("\n") == 1
        assert sentence in said.err and said.err.startswith("looptree: ")


@pytest.fixture
def of_others(trained):
    """A folder with two runs, and the one of them that may not be read. Root, from whom nothing is kept, is somebody
    else meanwhile."""
    user = os.geteuid()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        shutil.copytree(trained, folder / "run")
        closed = Path(shutil.copytree(trained, folder / "closed"))
        closed.chmod(0)
        os.seteuid(user or 65534)
        try:
            yield folder, closed
        finally:
            os.seteuid(user)
            closed.chmod(0o755)


@pytest.mark.parametrize(
    "words", [["play"], ["resume"], ["report"], ["trace"], ["why", "epsilon"], ["runs"], [*TRAIN, "--out"]]
)
def test_what_may_not_be_read_is_one_sentence(words, of_others, capsys):
    _, closed = of_others
    capsys.readouterr()
    command, *rest = words
    line = [*words, str(closed)] if words[-1] == "--out" else [command, str(closed), *rest]
    assert main(line) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    assert str(closed) in said.err and "Permission denied" in said.err


def test_a_run_that_may_not_be_read_does_not_hide_the_others(of_others, capsys):
    folder, closed = of_others
    capsys.readouterr()
    assert main(["runs", str(folder)]) == 0
    said = capsys.readouterr()
    _, first, second = said.out.splitlines()
    assert first.split()[0] == "closed" and first.endswith(f"{closed} cannot be read: Permission denied.")
    assert second.split()[:2] == ["run", "dqn"] and said.err == ""


def test_a_folder_with_a_bad_setting_is_not_made(capsys, tmp_path):
    assert main([*TRAIN, "--out", str(tmp_path / "new"), "--steps", "-1"]) == 2
    assert list(tmp_path.iterdir()) == []


def test_a_port_that_is_taken_is_one_sentence(capsys, run):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["report", "--live", str(run), "--port", str(port)]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    assert said.err.startswith(f"looptree: Port {port} cannot be listened on (Address already in use); 0 takes one")


def test_a_package_that_serves_is_named(capsys, monkeypatch, run):
    monkeypatch.delitem(sys.modules, "looptree.observe.report.live", raising=False)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert main(["report", "--live", str(run)]) == 2
    assert capsys.readouterr().err == "looptree: --live needs the package 'uvicorn': pip install 'looptree[live]'\n"


def test_a_package_that_is_not_there_is_named(capsys, monkeypatch):
    def missing(name):
        raise ModuleNotFoundError("No module named 'tyro'", name="tyro")

    monkeypatch.setattr("importlib.import_module", missing)
    assert main(TRAIN) == 2
    assert capsys.readouterr().err == "looptree: train needs the package 'tyro': pip install 'looptree[cli]'\n"
