"""The command play, on a short run of the command train."""

import json
import os
import re
import shutil
import subprocess
import sys
from ctypes.util import find_library
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

from looptree.cli.main import main

REPOSITORY = Path(__file__).resolve().parents[2]


def looptree(*words, first_on_path="", **variables):
    """The command where there is no screen; a module of the folder that is first on the path hides the real one."""
    path = os.pathsep.join([str(first_on_path), str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    plain = {"OMP_NUM_THREADS": "1", "PYTHONPATH": path, "TERM": "dumb"} | variables
    plain |= {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    command = [sys.executable, "-m", "looptree.cli", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=plain)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "run"
    words = ["--steps", 600, "--hidden-sizes", 8, "--normalise-observations", "--steps-per-rollout", 16, "--epochs", 1]
    done = looptree("train", "ppo", "CartPole-v1", *words, "--out", folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def run(trained, tmp_path):
    return Path(shutil.copytree(trained, tmp_path / "run"))


def returns_of(text):
    return [float(value) for value in re.findall(r"^episode \d+: return (\S+), [\d,]+ env steps$", text, re.MULTILINE)]


def test_play_prints_each_return_and_their_mean(trained):
    done = looptree("play", trained, "--episodes", 3)
    assert (done.returncode, done.stderr) == (0, "")
    returns = returns_of(done.stdout)
    assert len(returns) == 3
    assert done.stdout.splitlines()[3:] == [f"mean return {sum(returns) / 3:.6g}"]


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_play_films_every_step_of_every_episode(trained, tmp_path, suffix):
    file = tmp_path / f"film{suffix}"
    done = looptree("play", trained, "--episodes", 2, "--seed", 4, "--video", file)
    assert (done.returncode, done.stderr) == (0, "")
    returns = returns_of(done.stdout)
    assert done.stdout.splitlines()[-1] == f"filmed in {file}"
    frames, duration_s = imageio_ffmpeg.count_frames_and_secs(str(file))
    assert frames == sum(returns) + len(returns)  # one for each step, and one for each beginning
    assert duration_s == pytest.approx(frames / 50, abs=0.1)
    assert list(tmp_path.iterdir()) == [file]
    assert returns_of(looptree("play", trained, "--episodes", 2, "--seed", 4).stdout) == returns


def test_a_run_in_wrappers_is_played_in_them_and_filmed_below_them(tmp_path):
    worn = ["--wrappers", "RepeatAction(num_repeats=3)", "TimeAwareObservation", "--vectorization", "sync"]
    small = ["--steps", 200, "--hidden-sizes", 8, "--steps-per-rollout", 16, "--epochs", 1, "--num-envs", 2]
    done = looptree("train", "ppo", "CartPole-v1", *worn, *small, "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    kept = json.loads((tmp_path / "run/settings.json").read_text())["settings"]
    assert (kept["wrappers"], kept["vectorization"]) == (worn[1:3], "sync")
    assert np.load(tmp_path / "run/agent.npz")["weight_0"].shape == (2, 5, 8)  # the time is the fifth
    done = looptree("play", tmp_path / "run", "--episodes", 2, "--video", tmp_path / "film.mp4")
    assert (done.returncode, done.stderr) == (0, "")
    returns = returns_of(done.stdout)
    frames, _ = imageio_ffmpeg.count_frames_and_secs(str(tmp_path / "film.mp4"))
    assert frames == sum(returns) + 2  # steps of the environment, of which three are one step of the agent


def refused(words, capsys):
    assert main(["play", *map(str, words)]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    return said.err.removeprefix("looptree: ").rstrip()


def test_a_folder_without_a_run(tmp_path, capsys):
    advice = "there is no run; a folder that looptree train wrote would fit."
    assert refused([tmp_path], capsys) == f"{tmp_path}: {advice}"
    assert refused([tmp_path / "no"], capsys) == f"{tmp_path / 'no'}: {advice}"
    assert refused([], capsys).startswith("play is followed by the folder of a run: looptree play RUN")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ("{", "settings.json cannot be read: "),
        ("[]", "settings.json: this is not what looptree train writes."),
        ('{"name": "mine"}', "settings.json: this is not what looptree train writes."),
        ({"algorithm": "pqo"}, "settings.json: there is no algorithm 'pqo'."),
        ({"env_id": "CartPole-v9"}, "No environment is registered as 'CartPole-v9'."),
        ({"settings": {"gama": 1}}, "settings.json: PPOSettings has no setting 'gama'; nearest is 'gamma'."),
        ({"settings": {"hidden_sizes": [4]}}, "agent.npz is not of the agent that settings.json tells of: "),
    ],
)
def test_settings_that_are_damaged_or_of_something_else(run, capsys, settings, sentence):
    file = run / "settings.json"
    if isinstance(settings, dict):
        settings = json.dumps(json.loads(file.read_text()) | settings)
    file.write_text(settings)
    assert sentence in refused([run], capsys)


def test_an_agent_that_is_damaged_or_missing(run, capsys):
    file = run / "agent.npz"
    whole = file.read_bytes()
    with open(file, "wb") as opened:
        np.savez(opened, agent=np.array([{}], dtype=object))  # a pickle, which is never loaded
    damaged = f"{file} is damaged; looptree resume {run} writes it anew, from the newest checkpoint."
    assert refused([run], capsys) == damaged
    for contents in (b"", b"other", whole[: len(whole) // 2], whole[:200] + b"????" + whole[204:]):
        file.write_bytes(contents)
        assert refused([run], capsys) == damaged
    with open(file, "wb") as opened:
        np.save(opened, np.zeros(3))
    assert refused([run], capsys) == damaged
    file.unlink()
    assert refused([run], capsys) == (
        f"{file} is missing; looptree resume {run} brings the run to its end where it has not come to it, and writes "
        f"it."
    )


def test_options_that_cannot_be(run, capsys, tmp_path):
    assert refused([run, "--episodes", 0], capsys) == "--episodes 0: a whole number of 1 or more would fit."
    assert refused([run, "--episodes", "x"], capsys) == "--episodes x: a whole number would fit."
    assert refused([run, "--seed", -1], capsys) == "--seed -1: a whole number of 0 or more would fit."
    assert refused([run, "--vidio", "x"], capsys) == "there is no option '--vidio'; nearest is --video."
    ending = "a file name that ends in .mp4 or .gif would fit."
    assert refused([run, "--video", "film.avi"], capsys) == f"--video film.avi: {ending}"
    nowhere = tmp_path / "no" / "film.gif"
    assert refused([run, "--video", nowhere], capsys) == (
        f"--video {nowhere}: there is no folder {nowhere.parent}; one that exists would fit."
    )


def test_a_film_that_cannot_be_written(run, capsys, tmp_path):
    folder = tmp_path / "film.mp4"
    folder.mkdir()
    assert refused([run, "--video", folder], capsys) == f"--video {folder} cannot be written: it is no ordinary file."
    file = Path("/proc/self/film.gif")  # nobody can write there
    assert refused([run, "--video", file], capsys).startswith(f"--video {file} cannot be written: ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["film.mp4", "run"]


def test_a_missing_package_for_films_is_named(run, capsys, monkeypatch):
    monkeypatch.delitem(sys.modules, "looptree.cli.video", raising=False)
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    assert refused([run, "--video", run / "film.mp4"], capsys) == (
        "--video needs the package 'imageio_ffmpeg': pip install 'looptree[video]'"
    )


def test_without_the_package_that_draws_there_is_a_sentence_and_no_film(trained, tmp_path):
    (tmp_path / "pygame.py").write_text("raise ImportError('hidden')")
    done = looptree("play", trained, "--video", tmp_path / "film.gif", first_on_path=tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "film.gif cannot be drawn here: pygame is not installed, run `pip install " in done.stderr
    assert not list(tmp_path.glob("*film*"))


@pytest.fixture(scope="module")
def trained_in_mujoco(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "run"
    words = ["--steps", 100, "--hidden-sizes", 8, "--steps-per-rollout", 50, "--epochs", 1, "--num-envs", 1]
    done = looptree("train", "ppo", "InvertedPendulum-v5", *words, "--out", folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.skipif(not any(map(find_library, ("EGL", "OSMesa"))), reason="neither EGL nor OSMesa is installed")
@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_mujoco_is_filmed_without_a_screen(trained_in_mujoco, tmp_path, suffix):
    file = tmp_path / f"film{suffix}"
    done = looptree("play", trained_in_mujoco, "--episodes", 1, "--video", file)
    assert (done.returncode, done.stderr) == (0, "")
    frames, _ = imageio_ffmpeg.count_frames_and_secs(str(file))
    assert frames == sum(returns_of(done.stdout)) + 2  # the beginning, and the step that loses
    pictures = imageio_ffmpeg.read_frames(str(file))
    assert next(pictures)["size"] == (480, 480)
    assert np.frombuffer(next(pictures), np.uint8).std() > 10  # something is to be seen


def test_mujoco_that_cannot_draw_says_what_to_install(trained_in_mujoco, tmp_path):
    (tmp_path / "OpenGL.py").write_text("raise ImportError('hidden')")
    words = ["play", trained_in_mujoco, "--video", tmp_path / "film.mp4"]
    done = looptree(*words, first_on_path=tmp_path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "looptree: MuJoCo cannot draw here, neither with egl nor with osmesa; apt-get install lib" in done.stderr
    done = looptree(*words, MUJOCO_GL="glfw")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "looptree: MuJoCo cannot draw here with MUJOCO_GL=glfw; leaving that out, or apt-get " in done.stderr
    assert not list(tmp_path.glob("*film*"))
