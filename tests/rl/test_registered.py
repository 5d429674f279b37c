"""Environments that an installed package declares by an entry point, each in a process that has the package."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]

ACME = """
import gymnasium
from gymnasium.envs.classic_control import CartPoleEnv

def register():
    gymnasium.register("Walk-v0", CartPoleEnv, max_episode_steps=30)

def fail():
    raise RuntimeError("no ground")
"""


@pytest.fixture
def run(tmp_path):
    """Run Python in a process in which a package is installed that declares entry points."""

    def run(entry, *words):
        installed = tmp_path / "site"
        (installed / "acme-1.0.dist-info").mkdir(parents=True, exist_ok=True)
        (installed / "acme.py").write_text(ACME)
        (installed / "acme-1.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
        (installed / "acme-1.0.dist-info/entry_points.txt").write_text(f"[gymnasium.envs]\n{entry}\n")
        path = os.pathsep.join([str(installed), str(REPOSITORY)])
        return subprocess.run(
            [sys.executable, *words],
            capture_output=True,
            text=True,
            timeout=120,
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        )

    return run


def test_it_trains_by_its_id_on_the_command_line(run, tmp_path):
    words = ["--steps", "200", "--hidden-sizes", "8"]
    entry = "acme = acme:register"
    done = run(entry, "-m", "looptree.cli", "train", "a2c", "acme/Walk-v0", *words, "--out", "run")
    assert done.returncode == 0, done.stderr
    assert "fresh episodes greedily" in done.stdout
    done = run(entry, "-m", "looptree.cli", "play", "run", "--episodes", "1")
    assert done.returncode == 0, done.stderr
    assert "mean return" in done.stdout


@pytest.mark.parametrize(("entry", "env_id"), [("acme", "acme/Walk-v0"), ("__root__", "Walk-v0")])
def test_it_trains_by_its_id_in_python(run, entry, env_id):
    script = f"""
        import gymnasium
        from looptree.rl.algorithms.a2c import A2C, A2CSettings
        assert {env_id!r} not in gymnasium.registry
        learner = A2C({env_id!r}, A2CSettings(total_env_steps=200, hidden_sizes=(8,))).run()
        assert max(learner.source.recent_lengths) <= 30
        print(learner.env_steps)
    """
    done = run(f"{entry} = acme:register", "-c", textwrap.dedent(script))
    assert (done.returncode, done.stdout) == (0, "200\n"), done.stderr


def test_one_that_fails_is_named_with_what_it_said(run):
    script = """
        import gymnasium
        from looptree.rl.environments import Recipe
        for env_id in ("acme/Walk-v0", "acme/Walk-v0", "other/Walk-v0", "CartPole-v1"):
            try:
                Recipe(env_id).make(1)
            except Exception as error:
                print(type(error).__name__, error)
        gymnasium.register("Plain-v0", "acme:Plain")
        print("Plain-v0" in gymnasium.registry)
    """
    done = run("acme = acme:fail", "-c", textwrap.dedent(script))
    assert done.returncode == 0, done.stderr
    sentence = (
        "UnknownEnvironment No environment is registered as 'acme/Walk-v0'. Import the package that registers it, or "
        "name that too: 'package:Name-v0'. The entry point acme = 'acme:fail' failed: RuntimeError: no ground."
    )
    *said, other, plain = done.stdout.splitlines()
    assert said == [sentence, sentence]
    assert other.startswith("UnknownEnvironment") and "entry point" not in other
    assert plain == "True"  # and not in the namespace of the one that failed
