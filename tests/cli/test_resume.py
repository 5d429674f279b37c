"""The command resume, on runs of the command train that were cut off: they end as if they had never been."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.classic_control import CartPoleEnv
from markupsafe import escape

from looptree import Callback
from looptree.callbacks.checkpoints import CheckpointPassedOver
from looptree.cli import train as train_command
from looptree.cli.main import main
from looptree.observe.runs import Recorder, Run
from looptree.rl.errors import EnvironmentNotSaved
from tests.observe.test_sessions import Training, rows

REPOSITORY = Path(__file__).resolve().parents[2]
OPTIONS = {
    "dqn": ["--learning-starts-env-steps", "100", "--env-steps-per-pass", "32", "--gradient-steps-per-pass", "4"],
    "ppo": ["--steps-per-rollout", "16", "--epochs", "2", "--batch-size", "32", "--num-envs", "2"],
}
SMALL = ["--hidden-sizes", "8", "--evaluate-every-env-steps", "160", "--evaluation-episodes", "2", "--seed", "4"]


def words_of(algorithm, *more, env_id="CartPole-v1"):
    return [algorithm, env_id, "--steps", "800", *OPTIONS[algorithm], *SMALL, *map(str, more)]


class Killed(BaseException):
    """Stands for the end of the process: nothing of looptree handles it."""


class CutOff(Callback):
    """Ends the process in a pass, at the beginning of which a checkpoint is due and none is being written."""

    def __init__(self, count):
        self.count = count

    def on_collect(self, _phase="train"):
        if self.loop.count == self.count - 1:
            for thread in threading.enumerate():
                if thread.name == "checkpoint":
                    thread.join()
            time.sleep(0.002)
        if self.loop.count == self.count:
            raise Killed


class CtrlC(Callback):
    """Comes in the 12th pass."""

    def on_collect(self, _phase="train"):
        if self.loop.count == 11:
            signal.raise_signal(signal.SIGINT)


def cut_off(monkeypatch, count, *words):
    """Carry out a command line whose process is killed in a pass. (Unlike a kill, this lets what is under way be
    written; bench/kill.py sends real ones at any moment.)"""
    real = train_command.checkpoints
    with monkeypatch.context() as patch:
        patch.setattr(train_command, "checkpoints", lambda *given: [*real(*given), CutOff(count)])
        patch.setattr("looptree.cli.resume.checkpoints", train_command.checkpoints)
        with pytest.raises(Killed):
            main([str(word) for word in words])


def ended(folder):
    """All that a run leaves but times."""
    with np.load(folder / "agent.npz") as agent:
        parameters = {name: agent[name].tobytes() for name in agent.files}
    results = json.loads((folder / "results.json").read_text())
    del results["train_s"], results["ended"]
    newest = max((folder / "checkpoints").iterdir())
    manifest = json.loads((newest / "manifest.json").read_text())
    return parameters, results, rows(folder), newest.name, manifest["files"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What runs that were never interrupted leave."""
    folder = tmp_path_factory.mktemp("whole")
    for algorithm in OPTIONS:
        assert main(["train", *words_of(algorithm, "--out", folder / algorithm)]) == 0
    return {algorithm: ended(folder / algorithm) for algorithm in OPTIONS}


@pytest.mark.parametrize("algorithm", OPTIONS)
def test_a_run_that_was_cut_off_twice_ends_as_if_it_had_not_been(algorithm, whole, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "run"
    often = ["--checkpoint-every-s", "0.001"]
    cut_off(monkeypatch, 6, "train", *words_of(algorithm, "--out", folder, *often))
    cut_off(monkeypatch, 11, "resume", folder, *often)
    assert not (folder / "results.json").exists()
    capsys.readouterr()
    assert main(["resume", str(folder)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith(f"{algorithm} goes on from env step ") and int(said[0].split()[-1]) > 0
    assert said[-2:] == [f"run: {folder}", f"report: {folder / 'report.html'}"]
    assert ended(folder) == whole[algorithm]
    assert len(Run(folder).sessions) == 3
    assert "Dotted lines mark where the run was interrupted" in (folder / "report.html").read_text()
    assert main(["runs", str(tmp_path)]) == 0
    assert "; interrupted 2 times before that" in capsys.readouterr().out


def test_a_run_without_a_checkpoint_and_without_a_pass_is_begun_again(whole, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "run"
    cut_off(monkeypatch, 0, "train", *words_of("dqn", "--out", folder, "--checkpoint-every-s", "0"))
    assert not (folder / "checkpoints").exists()
    assert main(["resume", str(folder)]) == 0
    assert "dqn goes on from env step 0\n" in capsys.readouterr().out
    assert ended(folder) == whole["dqn"]


def test_passes_without_a_checkpoint_are_not_made_again_unasked(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "run"
    cut_off(monkeypatch, 6, "train", *words_of("dqn", "--out", folder, "--checkpoint-every-s", "0"))
    before = rows(folder)
    capsys.readouterr()
    assert main(["resume", str(folder)]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err) == (
        "",
        f"looptree: {folder} has no checkpoint to go on from, and 6 passes that would be lost; looptree train begins "
        f"again, in another folder (--out).\n",
    )
    assert rows(folder) == before


def test_a_run_that_was_killed_before_its_agent_was_written(whole, tmp_path, capsys):
    folder = tmp_path / "run"
    assert main(["train", *words_of("dqn", "--out", folder)]) == 0
    (folder / "results.json").unlink()
    (folder / "agent.npz").unlink()
    assert main(["resume", str(folder)]) == 0
    assert ended(folder) == whole["dqn"]


@pytest.mark.parametrize("damaged", [True, False])
def test_an_agent_that_was_lost_is_written_anew_from_the_checkpoint(damaged, whole, tmp_path, capsys):
    folder = tmp_path / "run"
    assert main(["train", *words_of("dqn", "--out", folder)]) == 0
    os.truncate(folder / "agent.npz", 100)
    if not damaged:
        (folder / "agent.npz").unlink()
    assert main(["play", str(folder)]) == 2
    assert f"looptree resume {folder} " in capsys.readouterr().err
    assert main(["resume", str(folder)]) == 0
    assert ended(folder) == whole["dqn"]
    assert main(["play", str(folder), "--episodes", "1"]) == 0


def test_what_an_earlier_session_kept_does_not_pass_for_what_the_run_has_come_to(tmp_path, monkeypatch, capsys):
    """It was stopped, gone on with, and killed."""
    folder = tmp_path / "run"
    often = ["--checkpoint-every-s", "0.001"]
    real = train_command.checkpoints
    with monkeypatch.context() as patch:
        patch.setattr(train_command, "checkpoints", lambda *given: [*real(*given), CtrlC()])
        assert main(["train", *words_of("dqn", "--out", folder, *often)]) == 130
    stopped = json.loads((folder / "results.json").read_text())
    cut_off(monkeypatch, 20, "resume", folder, *often)
    run = Run(folder)
    assert run.steps > stopped["env_steps"]
    capsys.readouterr()
    assert main(["runs", str(folder)]) == 0
    latest = f"{run.metric('valid_return').values[-1]:.6g}"
    assert capsys.readouterr().out.splitlines()[1].split()[5] == latest
    assert latest != f"{stopped['evaluation_mean_return']:.6g}"
    assert main(["play", str(folder), "--episodes", "1"]) == 0
    first, *_ = capsys.readouterr().out.splitlines()
    assert first == f"agent of env step {stopped['kept_env_steps']:,}; the run has come to {run.steps:,.0f}"


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(whole, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    cut_off(monkeypatch, 9, "train", *words_of("dqn", "--out", folder, "--checkpoint-every-s", "0.001"))
    newest = max((folder / "checkpoints").iterdir())
    os.truncate(newest / "arrays.safetensors", 1000)
    with pytest.warns(CheckpointPassedOver, match=newest.name):
        assert main(["resume", str(folder)]) == 0
    assert Run(folder).sessions[1].from_pass < int(newest.name)
    assert ended(folder) == whole["dqn"]


def test_a_run_without_a_whole_checkpoint_is_left_as_it_is(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "run"
    cut_off(monkeypatch, 9, "train", *words_of("dqn", "--out", folder, "--checkpoint-every-s", "0.001"))
    for checkpoint in (folder / "checkpoints").iterdir():
        os.truncate(checkpoint / "state.json", 10)
    before = rows(folder)
    capsys.readouterr()
    assert main(["resume", str(folder)]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith(f"looptree: {folder} has no whole checkpoint left: ")
    assert rows(folder) == before


class Held(CartPoleEnv):
    """Cannot be saved: it holds something of this process."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.lock = threading.Lock()


def test_what_cannot_be_gone_on_with_exactly_is_told(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "run"
    gymnasium.register("Held-v0", Held, max_episode_steps=200)
    try:
        often = ["--checkpoint-every-s", "0.001"]
        with pytest.warns(EnvironmentNotSaved):
            cut_off(monkeypatch, 9, "train", *words_of("dqn", env_id="Held-v0"), "--out", folder, *often)
            capsys.readouterr()
            assert main(["resume", str(folder)]) == 0
    finally:
        del gymnasium.registry["Held-v0"]
    inexact = Run(folder).sessions[1].inexact
    assert inexact[0].startswith("The episodes under way count as truncated, and new ones begin: Held.lock (lock)")
    assert tuple(capsys.readouterr().out.splitlines()[1 : 1 + len(inexact)]) == inexact
    page = (folder / "report.html").read_text()
    assert all(f"<strong>Not as it was:</strong> {escape(sentence)}" in page for sentence in inexact)


def test_a_run_that_goes_on_is_not_gone_on_with(tmp_path, capsys):
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "looptree.cli", "train", "dqn", "CartPole-v1", "--out", str(folder)]
    variables = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=variables) as process:
        assert process.stderr is not None
        process.stderr.readline()  # it trains
        assert main(["resume", str(folder)]) == 2
        said = capsys.readouterr().err
        assert said == f"looptree: {folder} goes on in another process; looptree report --live {folder} follows it.\n"
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 130 and "stopped by GracefulInterrupt: Ctrl-C" in out
    assert not Run(folder).goes_on
    assert int(max((folder / "checkpoints").iterdir()).name) == Run(folder).passes_done


def test_a_run_that_train_did_not_make(tmp_path, capsys):
    with Recorder(loop := Training(), tmp_path, settings={"lr": 1}):
        loop.run()
    assert main(["resume", str(tmp_path)]) == 2
    file = tmp_path / "settings.json"
    assert capsys.readouterr().err == f"looptree: {file}: this is not what looptree train writes.\n"


# modules


OWN = """
from pathlib import Path
import gymnasium
from gymnasium.envs.classic_control import CartPoleEnv

Path(__file__).with_name("imported").touch()
gymnasium.register("Own-v0", CartPoleEnv, max_episode_steps=50)

class Worn(gymnasium.Wrapper):
    pass
"""


@pytest.mark.parametrize("command", ["resume", "play"])
def test_a_module_is_imported_only_if_the_user_names_it(command, tmp_path, monkeypatch):
    """Each in a process of its own, as a module is imported once."""

    def looptree(*words):
        path = os.pathsep.join([str(REPOSITORY), str(tmp_path)])
        variables = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path}
        line = [sys.executable, "-m", "looptree.cli", *map(str, words)]
        return subprocess.run(line, capture_output=True, text=True, timeout=120, env=variables, cwd=tmp_path)

    (tmp_path / "own.py").write_text(OWN)
    done = looptree("train", *words_of("ppo", "--wrappers", "own:Worn", env_id="own:Own-v0"), "--out", "run")
    assert done.returncode == 0, done.stderr
    if command == "resume":
        (tmp_path / "run" / "results.json").unlink()
    (tmp_path / "imported").unlink()
    env_id, wrappers = ["--env-id", "own:Own-v0"], ["--wrappers", "own:Worn"]
    for given, missing in ((env_id, "wrappers"), (wrappers, "env-id"), ([], "wrappers")):
        done = looptree(command, "run", *given)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert f"a module is imported only if you name it yourself: --{missing} 'own:" in done.stderr
        if given == []:
            assert not (tmp_path / "imported").exists()
    done = looptree(command, "run", *env_id, *wrappers)
    assert done.returncode == 0, done.stderr
