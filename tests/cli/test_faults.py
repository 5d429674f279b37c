"""looptree train through faults of the environment, each of them a real one."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.classic_control import CartPoleEnv

from looptree.callbacks.checkpoints import newest_checkpoint
from looptree.cli.main import main
from looptree.observe.runs import Run

REPOSITORY = Path(__file__).resolve().parents[2]


class Exploding(CartPoleEnv):
    """Its cart is nowhere from the 3,000th step on."""

    steps = 0

    def step(self, action):
        self.steps += 1
        observation, reward, terminated, truncated, info = super().step(action)
        return observation * (np.nan if self.steps == 3_000 else 1), reward, terminated, truncated, info


def finite(value):
    """Whether all arrays of floating point in nested containers are finite."""
    if isinstance(value, dict):
        return all(finite(member) for member in value.values())
    if isinstance(value, list | tuple):
        return all(finite(member) for member in value)
    return not isinstance(value, np.ndarray) or value.dtype.kind != "f" or bool(np.isfinite(value).all())


@pytest.mark.parametrize("algorithm", ["dqn", "ppo"])
def test_a_number_that_is_none_ends_the_run_and_the_last_good_checkpoint_stays(algorithm, tmp_path, capsys):
    gymnasium.register("Exploding-v0", Exploding, max_episode_steps=500)
    own = ["--steps-per-rollout", "256"] if algorithm == "ppo" else []
    try:
        words = [
            "train",
            algorithm,
            "Exploding-v0",
            "--out",
            str(tmp_path / "run"),
            "--checkpoint-every-s",
            "0.1",
            *own,
        ]
        status = main(words)
    finally:
        del gymnasium.registry["Exploding-v0"]
    said = capsys.readouterr().err
    assert status == 1
    assert (
        "NotFinite: observation[0, 0] of SyncVectorEnv(Exploding-v0, num_envs=1) is nan after 2,999 env steps" in said
    )
    run = Run(tmp_path / "run")
    assert run.ended.startswith("failed in GymSource.on_step: NotFinite: observation[0, 0] of ")
    checkpoint = newest_checkpoint(tmp_path / "run")
    assert 0 < checkpoint.count <= run.passes_done
    assert finite(checkpoint.state)


def children(pid):
    """The processes that a process has made, as /proc has them; those of environments are named for what they run."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for processes in /proc")
def test_a_process_that_dies_and_one_that_hangs_are_begun_anew_and_counted(tmp_path):
    words = ["train", "dqn", "CartPole-v1", "--out", str(tmp_path / "run"), "--steps", "10_240", "--num-envs", "2"]
    words += ["--vectorization", "async", "--step-timeout-s", "4", "--evaluation-episodes", "1"]
    with subprocess.Popen(
        [sys.executable, "-m", "looptree.cli", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
    ) as process:
        assert process.stderr is not None
        process.stderr.readline()  # the run has begun
        killed, stopped, *_ = children(process.pid)
        os.kill(killed, signal.SIGKILL)
        time.sleep(0.5)
        with contextlib.suppress(ProcessLookupError):
            os.kill(stopped, signal.SIGSTOP)
        out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    assert "Its process was ended by SIGKILL." in err
    assert "It gave no answer for 4 s, and was ended." in err
    assert "; 2 episodes broke off with their environment\n" in out
    run = Run(tmp_path / "run")
    assert run.metric("restarts").values[-1] == 2.0
    assert "restarts" in (tmp_path / "run" / "report.html").read_text()
    assert run.steps == 10_240
