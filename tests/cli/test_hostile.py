"""A run's folder that came from somebody else: whatever stands in it, no command runs it, follows it elsewhere, or
shows more than one sentence."""

import json
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from looptree.cli.main import main

SMALL = ["--steps", "300", "--learning-starts-env-steps", "100", "--hidden-sizes", "8", "--env-steps-per-pass", "50"]
SECRET = "7c0ffee5ec3e7"

COMMANDS = {
    "runs": lambda run: ["runs", run.parent],
    "why": lambda run: ["why", run, "epsilon"],
    "trace": lambda run: ["trace", run],
    "report": lambda run: ["report", run],
    "play": lambda run: ["play", run, "--episodes", 1],
    "resume": lambda run: ["resume", run],
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run that is not at its end, as far as its results tell."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    assert main(["train", "dqn", "CartPole-v1", *SMALL, "--fields", "epsilon", "--out", str(folder)]) == 0
    results = json.loads((folder / "results.json").read_text())
    (folder / "results.json").write_text(json.dumps(results | {"env_steps": 100}))
    return folder


@pytest.fixture
def run(trained, tmp_path):
    return Path(shutil.copytree(trained, tmp_path / "runs" / "run"))


@pytest.fixture
def outside(tmp_path):
    """What belongs to the user: a run of their own with a secret in it."""
    return tmp_path / "outside"


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def carried_out(command, run, capsys):
    """What a command says that does something, or refuses to in one sentence."""
    capsys.readouterr()
    status = main([str(word) for word in COMMANDS[command](run)])
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    assert status == 0 or (status == 2 and said.out == "" and said.err.count("\n") == 1), said.err
    return said.out + said.err


NAMES = ["agent.npz", "checkpoints", "code.json", "description.json", "results.json", "run.db", "run.db-wal"]
NAMES += ["run.lock", "settings.json", "versions.json", "report.html"]


@pytest.mark.parametrize("command", COMMANDS)
def test_links_lead_nowhere(command, trained, tmp_path, outside, capsys):
    shutil.copytree(trained, outside)
    settings = json.loads((outside / "settings.json").read_text())
    (outside / "settings.json").write_text(json.dumps(settings | {"env_id": SECRET}))
    (outside / "versions.json").write_text(json.dumps({"python": SECRET}))
    (outside / "code.json").write_text(json.dumps([[SECRET, None]]))
    (outside / "results.json").write_text(json.dumps({"evaluation_mean_return": 70707.5, "env_steps": 1e9}))
    with closing(sqlite3.connect(outside / "run.db")) as connection, connection:
        connection.execute("UPDATE sessions SET ended = ?", (SECRET,))
    before = contents(outside)
    for name in NAMES:
        run = Path(shutil.copytree(trained, tmp_path / "runs" / "run"))
        shutil.rmtree(run / name) if (run / name).is_dir() else (run / name).unlink(missing_ok=True)
        (run / name).symlink_to(outside / name)
        said = carried_out(command, run, capsys)
        assert SECRET not in said and "70707" not in said
        if name != "report.html":
            assert SECRET not in (run / "report.html").read_text()
        assert contents(outside) == before, name
        shutil.rmtree(run)


@pytest.mark.parametrize("command", COMMANDS)
def test_names_lead_nowhere(command, run, tmp_path, capsys):
    """Whatever a file names is no path: of the folder itself, nothing is written beside it."""
    settings = json.loads((run / "settings.json").read_text())
    for key in ("algorithm", "env_id"):
        for name in ("../../evil", "/etc/passwd", "evil/../../x", "..", "%2e%2e/evil", "evil\x00"):
            (run / "settings.json").write_text(json.dumps(settings | {key: name}))
            carried_out(command, run, capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
    assert [path.name for path in run.parent.iterdir()] == ["run"]


def nested(depth):
    text = "1"
    for _ in range(depth):
        text = f'{{"a": {text}}}'
    return text


TEXTS = {
    "nothing": "",
    "a list": "[]",
    "nested deeply": nested(300),
    "nested more deeply": nested(900),
    "nested beyond reading": "[" * 200_000,
    "a number without end": "9" * 10_000,
    "not a number": '{"settings": NaN, "env_steps": NaN, "evaluation_mean_return": NaN}',
    "other kinds": '{"algorithm": [], "env_id": {}, "settings": 3, "seed": "x", "inner_loops": 3, "class": []}',
    "bytes": "\x00\x01",
}


@pytest.mark.parametrize("name", ["settings.json", "description.json", "code.json", "versions.json", "results.json"])
@pytest.mark.parametrize("text", TEXTS)
def test_json_that_looptree_does_not_write(name, text, run, capsys):
    (run / name).write_text(TEXTS[text])
    for command in COMMANDS:
        carried_out(command, run, capsys)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": -1},
        {"seed": True},
        {"settings": {"hidden_sizes": [-1]}},
        {"settings": {"hidden_sizes": ["x"]}},
        {"settings": {"num_envs": 0}},
        {"settings": {"wrappers": ["RecordVideo(video_folder='../../evil')"]}},
        {"settings": {"wrappers": ["TimeLimit(__import__('os').system('touch evil'))"]}},
        {"settings": {"__class__": 1}},
        {"settings": {"learning_rate": "__import__('os')"}},
    ],
    ids=str,
)
def test_settings_that_train_does_not_write(change, run, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = json.loads((run / "settings.json").read_text())
    change = change | {"settings": settings["settings"] | change.get("settings", {})}
    (run / "settings.json").write_text(json.dumps(settings | change))
    for command in ("play", "resume"):
        carried_out(command, run, capsys)
    assert not list(tmp_path.rglob("evil*"))


class Evil:
    def __reduce__(self):
        return os.mkdir, ("evil",)


def test_an_agent_that_is_a_pickle_or_a_bomb(run, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with np.load(run / "agent.npz") as agent:
        shapes = {name: agent[name].shape for name in agent.files}
    np.savez(run / "agent.npz", **dict.fromkeys(shapes, np.array([Evil()], dtype=object)))
    carried_out("play", run, capsys)
    np.savez_compressed(run / "agent.npz", **dict.fromkeys(shapes, np.zeros(10_000_000)))
    assert "its arrays are larger" in carried_out("play", run, capsys)
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize(
    ("recorded", "sentence"),
    [
        ({"metrics": ["nothing"]}, "has a field 'nothing'"),
        ({"fields": ["nothing"]}, "'nothing'"),
        ({"over": "loss.__init__"}, "'loss.__init__'"),
        ({"over": "run"}, "'run'"),
    ],
    ids=str,
)
def test_fields_that_cannot_be_recorded(recorded, sentence, run, capsys):
    with closing(sqlite3.connect(run / "run.db")) as connection, connection:
        (text,) = connection.execute("SELECT value FROM about WHERE name = 'recorded'").fetchone()
        text = json.dumps(json.loads(text) | recorded)
        connection.execute("UPDATE about SET value = ? WHERE name = 'recorded'", (text,))
    assert sentence in carried_out("resume", run, capsys)


OBEYED = "\x1b]0;owned\x07\x1b[2J\r\n\u202e"


def test_a_terminal_obeys_nothing(run, capsys):
    settings = json.loads((run / "settings.json").read_text())
    (run / "settings.json").write_text(json.dumps(settings | {"env_id": f"a{OBEYED}"}))
    with closing(sqlite3.connect(run / "run.db")) as connection, connection:
        connection.execute("UPDATE sessions SET ended = ended || ?", (OBEYED,))
        connection.execute("UPDATE changes SET old = old || ?, new = new || ?, at = at || ?", (OBEYED,) * 3)
        connection.execute("UPDATE names SET name = name || ? WHERE name LIKE '%before_pass'", (OBEYED,))
    run.with_name(f"other{OBEYED}").mkdir()
    for command in COMMANDS:
        said = carried_out(command, run, capsys)
        assert {each for each in said if not each.isprintable()} <= {"\n"}, command
        assert "\\x1b" in said or command == "report"


def test_a_tree_without_end(run, capsys):
    with closing(sqlite3.connect(run / "run.db")) as connection, connection:
        connection.execute("UPDATE timings SET depth = line * 10")
    assert "there are values in it that a Recorder does not write" in carried_out("report", run, capsys)


def test_a_folder_full_of_what_is_no_run(tmp_path, capsys):
    folder = tmp_path / "runs"
    for name in ("empty", "piped", "folders", "-- help", "<b>"):
        (folder / name).mkdir(parents=True)
    os.mkfifo(folder / "piped" / "run.db")
    (folder / "folders" / "run.db").mkdir()
    (folder / "loop").symlink_to(folder)
    (folder / "gone").symlink_to(folder / "nothing")
    assert len(carried_out("runs", folder / "any", capsys).splitlines()) == 7
