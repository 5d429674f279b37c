"""The benchmarks of training run and print their rows; what they say is for long runs on a quiet machine."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from looptree.rl.algorithms.ppo import PPO, PPOSettings

BENCH = Path(__file__).resolve().parents[1] / "bench"


def run(script: str, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCH / script), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=os.environ | variables)


def test_throughput_prints_a_speed_and_what_the_loops_take() -> None:
    done = run("throughput.py", "--quick", "--json", "ppo-cartpole", "dqn-cartpole")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    for title in ("PPO on CartPole-v1", "DQN on CartPole-v1"):
        speed, beside_plain, own, with_profile = [row for row in rows if row["section"].startswith(title)]
        assert speed["name"] == "looptree"
        assert speed["figures"]["steps_s"] > 0
        assert all(isinstance(row["figures"]["share"], float) for row in (beside_plain, own, with_profile))
        assert beside_plain["at_most"] == own["at_most"] == 1.0


def test_plain_code_does_what_the_loops_do(monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(BENCH))
    from plain import plain_functions  # noqa: PLC0415

    as_it_is, in_plain_code = (PPO("CartPole-v1", PPOSettings(total_env_steps=1_024), seed=3) for _ in range(2))
    as_it_is.run()
    plain_functions(in_plain_code)[id(in_plain_code)]()
    for name, values in as_it_is.network.state_dict().items():
        assert torch.equal(values, in_plain_code.network.state_dict()[name])
    assert torch.tensor(1e-39).mul(1.0) > 0, "what the learner sets for its run is put back, as finally_run says"


def test_throughput_refuses_a_task_that_there_is_none_of() -> None:
    done = run("throughput.py", "chess")
    assert done.returncode == 2
    assert "there is no task chess; there are ppo-cartpole," in done.stderr


def test_checkpoints_prints_what_they_cost_beside_the_bars(tmp_path: Path) -> None:
    done = run("checkpoints.py", "--quick", "--json", "--folder", str(tmp_path))
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    stop, cost, load, million_stop, million_cost, million_load, large_stop, large_cost, _ = rows
    assert (stop["at_most"], cost["at_most"], million_cost["at_most"], large_cost["at_most"]) == (50.0, 1.0, 1.0, 1.0)
    assert all(row["figures"]["ms"] > 0 for row in (stop, million_stop, large_stop))
    assert load["figures"]["seconds"] > 0 and million_load["at_most"] == 5.0
    assert list(tmp_path.iterdir()) == []


def test_runs_that_are_killed_end_as_if_they_had_not_been() -> None:
    done = run("kill.py", "--kills", "20", "--json")
    assert done.returncode == 0, done.stderr
    rows = {row["name"].strip(): row["figures"] for row in json.loads(done.stdout)}
    assert rows["kills"]["number"] == 20
    assert rows["runs that end as if never killed"]["number"] >= 1
    assert 0 < rows["passes that were made again"]["number"] < rows["passes of these runs"]["number"]


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
    result = {"task": "a2c-cartpole", "seed": 0, "asked_for": "A2CSettings()", "kept": 1e6, "final": 1e6}
    (folder / "a2c-cartpole-0.json").write_text(json.dumps(result))
    done = run("returns.py", "--quick", "--json", "--results", str(tmp_path), "a2c-cartpole")
    (row,) = json.loads(done.stdout)
    assert row["figures"]["kept"] <= 500


def test_a_run_that_fails_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    (tmp_path / "stable_baselines3.py").write_text("raise ImportError('broken')")
    command = ["--quick", "--json", "--results", str(tmp_path), "sb3-halfcheetah", "a2c-cartpole"]
    done = run("returns.py", *command, PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert "of 2: sb3-halfcheetah, seed 0: failed: ImportError: broken" in done.stderr
    assert "of 2: a2c-cartpole, seed 0: " in done.stderr
    failed, other = json.loads(done.stdout)
    assert (failed["name"], failed["figures"]) == ("  SB3 with the same settings (0 of 1)", {})
    assert other["figures"]["kept"] <= 500


def test_an_interrupted_benchmark_ends_with_the_rows_of_what_there_is(tmp_path: Path) -> None:
    names = ["a2c-cartpole", "ppo-cartpole", "dqn-cartpole", "ppo-pendulum"]
    command = [sys.executable, str(BENCH / "returns.py"), "--quick", "--json", "--results", str(tmp_path), *names]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stderr is not None
    first = process.stderr.readline()
    assert first.startswith("1 of 4: ")
    process.send_signal(signal.SIGINT)
    written, said = process.communicate(timeout=60)
    assert process.returncode == 130
    rows = {row["name"]: row["figures"] for row in json.loads(written)}
    ended = 1 + said.count(" of 4: ")
    assert ended < 4 and [bool(figures) for figures in rows.values()].count(True) == ended
    assert sum(name.endswith(" (0 of 1)") for name in rows) == 4 - ended
    assert "Traceback" not in said
    assert len(list(tmp_path.glob("quick/*"))) == ended


def test_halfcheetah_is_trained_without_the_warning_that_mujoco_has_for_it(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCH / "throughput.py"), "--quick", "ppo-halfcheetah"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "settotalmass" not in done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="it looks at processes by /proc")
def test_soak_looks_at_training_and_ends_it() -> None:
    done = run("soak.py", "--minutes", "0.15", "--looks", "6", "ppo", "CartPole-v1")
    assert done.returncode == 0, done.stderr
    title, *looks, memory, handles, speed = done.stdout.splitlines()
    assert title == "ppo CartPole-v1, 0.15 minutes"
    assert len(looks) == 6
    assert all(row.endswith(("ok", "MISS")) for row in (memory, handles, speed))
