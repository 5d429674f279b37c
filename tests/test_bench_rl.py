"""The benchmarks of training run and print their rows; what they say is for long runs on a quiet machine."""

import json
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parents[1] / "bench"


def run(script: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCH / script), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_throughput_prints_a_speed_and_what_the_loops_take() -> None:
    done = run("throughput.py", "--quick", "--json", "ppo-cartpole", "dqn-cartpole")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    for title in ("PPO on CartPole-v1", "DQN on CartPole-v1"):
        speed, engine, profiled = [row for row in rows if row["section"].startswith(title)]
        assert speed["name"] == "looptree"
        assert speed["figures"]["steps_s"] > 0
        assert 0 < engine["figures"]["share"] < profiled["figures"]["share"]
        assert engine["at_most"] == 1.0


def test_throughput_refuses_a_task_that_there_is_none_of() -> None:
    done = run("throughput.py", "chess")
    assert done.returncode == 2
    assert "there is no task chess; there are ppo-cartpole," in done.stderr


def test_returns_prints_each_median_beside_its_bar_and_does_nothing_twice(tmp_path: Path) -> None:
    command = ["returns.py", "--quick", "--results", str(tmp_path)]
    first = run(*command, "ppo-cartpole")
    assert first.returncode == 0, first.stderr
    header, row = first.stdout.splitlines()
    assert header.split()[-5:] == ["kept", "lowest", "highest", "final", "published"]
    assert row.startswith("  PPO CartPole-v1 100k")
    assert "500.0  at least 475.0" in row
    assert first.stderr.startswith("1 of 1: ppo-cartpole, seed 0: ")

    again = run(*command, "ppo-cartpole")
    assert (again.stdout, again.stderr) == (first.stdout, "")


def test_a_result_of_other_settings_does_not_count(tmp_path: Path) -> None:
    folder = tmp_path / "quick"
    folder.mkdir()
    result = {"task": "ppo-cartpole", "seed": 0, "asked_for": "PPOSettings()", "kept": 1e6, "final": 1e6}
    (folder / "ppo-cartpole-0.json").write_text(json.dumps(result))
    done = run("returns.py", "--quick", "--json", "--results", str(tmp_path), "ppo-cartpole")
    (row,) = json.loads(done.stdout)
    assert row["figures"]["kept"] <= 500
