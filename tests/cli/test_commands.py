"""The real command, in a process of its own, with few steps."""

import json
import os
import re
import signal
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.classic_control import CartPoleEnv

from looptree.cli.main import COMMANDS, main
from looptree.observe.runs import Run
from looptree.rl.algorithms import ALGORITHMS
from looptree.rl.algorithms.dqn import DQNSettings

REPOSITORY = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "looptree.cli"]
FILES = [
    "agent.npz",
    "checkpoints",
    "code.json",
    "description.html",
    "description.json",
    "report.html",
    "results.json",
    "run.db",
]
FILES += ["run.lock", "settings.json", "versions.json"]
SHORT = ["dqn", "CartPole-v1", "--steps", "600", "--learning-starts-env-steps", "200", "--gradient-steps-per-pass", "8"]


def environment():
    """Variables of a process that has one thread, finds the package, and takes nothing for a terminal."""
    plain = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY), "TERM": "dumb"}
    return {name: value for name, value in os.environ.items() if name != "FORCE_COLOR"} | plain


def looptree(*words, cwd=None):
    return subprocess.run(
        [*COMMAND, *map(str, words)], capture_output=True, text=True, timeout=120, env=environment(), cwd=cwd
    )


def test_train_ends_with_the_times_why_it_ended_and_the_evaluation(tmp_path):
    done = looptree("train", *SHORT, "--evaluate-every-env-steps", "256", "--out", tmp_path / "new" / "run")
    assert done.returncode == 0, done.stderr
    tree, _, rest = done.stdout.partition("\n\n")
    assert tree.splitlines()[0].split() == ["calls", "total", "own", "mean", "share"]
    assert "source: GymSource" in tree and "update: QUpdate" in tree
    ended, made, kept, evaluation, saved, page = rest.splitlines()
    assert ended == "dqn ran all 3 items"
    assert made == "it made 600 env steps and 24 gradient steps"
    assert re.fullmatch(r"kept: the agent of env step \d+, whose evaluation had mean return [\d.]+", kept)
    assert evaluation.startswith("it plays 20 fresh episodes greedily: mean return ")
    assert saved == f"run: {tmp_path / 'new' / 'run'}"
    assert page == f"report: {tmp_path / 'new' / 'run' / 'report.html'}"
    assert "600 of 600 env steps" in done.stderr and "/s, episode return " in done.stderr
    assert "loss " in done.stderr and "epsilon " in done.stderr

    folder = tmp_path / "new" / "run"
    assert sorted(path.name for path in folder.iterdir()) == FILES
    settings = json.loads((folder / "settings.json").read_text())
    assert (settings["algorithm"], settings["env_id"], settings["seed"]) == ("dqn", "CartPole-v1", 0)
    assert settings["settings"]["total_env_steps"] == 600 and settings["settings"]["batch_size"] == 64
    results = json.loads((folder / "results.json").read_text())
    assert (results["env_steps"], results["gradient_steps"]) == (600, 24) and len(results["evaluation_returns"]) == 20
    assert f"mean return {results['evaluation_mean_return']:.6g} " in evaluation
    with np.load(folder / "agent.npz", allow_pickle=False) as agent:
        shapes = {tuple(agent[name].shape) for name in agent.files}
    assert (256, 4) in shapes and (2, 256) in shapes


REPLAYING = ("--learning-starts-env-steps", 500, "--env-steps-per-pass", 250, "--gradient-steps-per-pass", 4)
SHORT_RUNS = {  # options, and the gradient steps of a run of so many passes
    "ppo": (("--steps-per-rollout", 16, "--batch-size", 64, "--epochs", 3), lambda passes: 6 * passes),
    "a2c": ((), lambda passes: passes),
    "d3qn": (REPLAYING, lambda passes: 8),
    "c51": (REPLAYING, lambda passes: 8),
    "rainbow": (REPLAYING, lambda passes: 8),
}


@pytest.mark.parametrize("algorithm", SHORT_RUNS)
def test_every_algorithm_trains_and_goes_by_the_name_it_is_called_by(algorithm, tmp_path):
    options, gradient_steps = SHORT_RUNS[algorithm]
    options += ("--hidden-sizes", 8, "--evaluate-every-env-steps", 256, "--evaluation-episodes", 2)
    done = looptree("train", algorithm, "CartPole-v1", "--steps", 600, *options, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    passes = int(re.search(rf"^{algorithm} ran all (\d+) items$", done.stdout, re.MULTILINE)[1])
    assert re.search(rf"^{algorithm}: .* of 600 env steps, .*loss ", done.stderr, re.MULTILINE)
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["gradient_steps"] == gradient_steps(passes)
    assert f"it made {results['env_steps']} env steps and {results['gradient_steps']} gradient steps\n" in done.stdout
    settings = json.loads((tmp_path / "settings.json").read_text())
    assert settings["algorithm"] == algorithm and settings["settings"]["hidden_sizes"] == [8]
    assert settings["settings"].get("target_kl", "inf") == "inf"  # which JSON has no number for
    assert sorted(path.name for path in tmp_path.iterdir()) == FILES
    run = Run(tmp_path)
    assert (run.steps, run.over, run.loop) == (results["env_steps"], "env_steps", algorithm)
    assert run.ended == f"ran all {passes} items"
    assert {"loss", "valid_return", "episode_return"} <= set(run.metrics)
    assert run.metric("valid_return").values[-1] == results["kept_mean_return"] or len(run.changes("valid_return")) > 1


OWN = """
import gymnasium
from gymnasium.envs.classic_control import CartPoleEnv

gymnasium.register("Own-v0", CartPoleEnv, max_episode_steps=50)
"""


def test_an_environment_of_a_module_in_the_working_directory(tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    command = Path(sys.executable).with_name("looptree")  # which, unlike python -m, does not look there by itself
    words = ["train", "a2c", "own:Own-v0", "--steps", "100", "--out", "run"]
    done = subprocess.run([command, *words], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "run" / "settings.json").read_text())["env_id"] == "own:Own-v0"
    done = looptree("train", "a2c", "own:Owm-v0", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "looptree: No environment is registered as 'Owm-v0'. The nearest ids are 'Own-v0'.\n"
    done = looptree("train", "a2c", "none:Own-v0", cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.startswith("looptree: 'none', which is to register 'Own-v0', cannot be")


def test_the_same_seed_gives_the_same_agent_in_runs_of_their_own(tmp_path):
    words = ["train", *SHORT, "--seed", "3", "--hidden-sizes", "8", "8"]
    agents = []
    for number in (1, 2):
        done = looptree(*words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        folder = tmp_path / re.search(r"^run: (.*)$", done.stdout, re.MULTILINE)[1]
        assert re.fullmatch(r"dqn-CartPole-v1-\d{8}-\d{6}(-2)?", folder.name)
        assert len(list((tmp_path / "runs").iterdir())) == number
        with np.load(folder / "agent.npz", allow_pickle=False) as agent:
            agents.append({name: agent[name] for name in agent.files})
    assert agents[0].keys() == agents[1].keys()
    assert all(np.array_equal(agents[0][name], agents[1][name]) for name in agents[0])
    results = json.loads((folder / "results.json").read_text())
    assert results["kept_mean_return"] is None and results["kept_env_steps"] == 600

    (tmp_path / "runs" / "damaged").mkdir()
    done = looptree("runs", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    head, damaged, first, second = done.stdout.splitlines()
    assert head.split() == ["run", "algorithm", "environment", "seed", "steps", "return", "ended"]
    assert damaged.startswith("damaged ") and damaged.endswith("has no run in it: there is no run.db.")
    for line in (first, second):
        mean = f"{results['evaluation_mean_return']:.6g}"
        assert line.split()[1:] == ["dqn", "CartPole-v1", "3", "600", mean, "ran", "all", "3", "items"]
    assert looptree("runs", ".", cwd=folder).stdout.splitlines()[1].split() == second.split()
    alone = looptree("runs", folder)
    assert [line.split() for line in alone.stdout.splitlines()] == [head.split(), second.split()]


def test_report_writes_a_page_about_a_run_and_about_several(tmp_path):
    for seed in (1, 2):
        assert looptree("train", *SHORT, "--seed", seed, "--out", tmp_path / f"run{seed}").returncode == 0
    page = tmp_path / "run1" / "report.html"
    page.unlink()
    done = looptree("report", tmp_path / "run1")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"report: {page}\n", "")
    assert page.read_text().startswith("<!doctype html>")
    done = looptree("report", tmp_path / "run1", tmp_path / "run2", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "report: report.html\n", "")
    done = looptree("report", tmp_path / "run1", tmp_path / "run2", "--out", tmp_path / "both.html")
    assert (tmp_path / "both.html").read_text() == (tmp_path / "report.html").read_text()
    (tmp_path / "link.html").symlink_to(tmp_path / "both.html")
    done = looptree("report", tmp_path / "run1", "--out", tmp_path / "link.html")
    assert (done.returncode, done.stdout) == (0, f"report: {tmp_path / 'link.html'}\n")
    assert (tmp_path / "link.html").is_symlink() and (tmp_path / "both.html").read_text() == page.read_text()


def test_why_and_trace_tell_what_was_recorded(tmp_path):
    words = ["--steps", 1500, "--evaluate-every-env-steps", 512, "--epsilon-fraction", 0.9, "--seed", 1]
    assert looptree("train", *SHORT, *words, "--fields", "epsilon", "--out", tmp_path / "run").returncode == 0
    run = Run(tmp_path / "run")
    change = run.changes("epsilon")[1]
    done = looptree("why", tmp_path / "run", "epsilon", "--step", int(change.step))
    assert (done.returncode, done.stderr) == (0, "")
    was, written, where, before, reads = done.stdout.splitlines()
    assert was == f"dqn.epsilon was {change.new} at env_steps {change.step:,.0f}"
    assert re.fullmatch(r"written by   Schedule\.before_pass \(.*schedule\.py:\d+\)", written)
    assert where == f"in           {change.at}, which came to env_steps {change.step:,.0f}"
    assert before == f"before that  {change.old}"
    assert reads.startswith("it reads     dqn.schedule.")

    done = looptree("trace", tmp_path / "run", "--stop-if", f"epsilon < {change.value + 1e-9}")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[1].split() == [
        *change.at.split(),
        change.hook,
        change.field,
        change.old,
        change.new,
    ]
    same = looptree("why", "--step", int(change.step), tmp_path / "run", "epsilon")
    assert same.stdout.splitlines()[0] == was
    again = looptree("trace", "--stop-if", f"epsilon < {change.value + 1e-9}", tmp_path / "run")
    assert again.stdout == done.stdout
    done = looptree("trace", tmp_path / "run")
    assert f"dqn.epsilon  {len(run.changes('epsilon'))}        Schedule.before_pass" in done.stdout


def test_a_data_breakpoint_ends_the_run_where_the_field_was_changed():
    done = looptree("trace", *SHORT, "--stop-if", "epsilon < 0.9")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^stopped: dqn 1: Schedule.before_pass: dqn.epsilon went from 1 to 0", done.stdout, re.MULTILINE)
    assert done.stdout.splitlines()[-1] == "it made 256 env steps and 8 gradient steps"


def test_describe_prints_the_tree_and_runs_nothing():
    done = looptree("describe", "dqn", "CartPole-v1")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("dqn: DQN") and lines[0].endswith(tuple("0123456789"))
    assert any("phase train" in line for line in lines) and any("phase valid" in line for line in lines)


def test_profile_prints_the_times():
    done = looptree("profile", *SHORT)
    assert done.returncode == 0, done.stderr
    assert "share" in done.stdout.splitlines()[0]
    assert done.stdout.splitlines()[-2:] == ["dqn ran all 3 items", "it made 600 env steps and 24 gradient steps"]


def test_trace_prints_who_changed_what():
    done = looptree("trace", *SHORT, "--fields", "epsilon, loss")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Trace of dqn: 2 fields, ")
    assert re.search(r"^dqn.loss +\d+ +QUpdate.after_loss \(", done.stdout, re.MULTILINE)
    assert re.search(r"^dqn \d+ +Schedule.before_pass +dqn.epsilon +1 ", done.stdout, re.MULTILINE)
    assert done.stdout.splitlines()[-2:] == ["dqn ran all 3 items", "it made 600 env steps and 24 gradient steps"]


@pytest.mark.parametrize("words", [["--help"], ["help"], ["train", "dqn", "CartPole-v1", "--help"]])
def test_help_is_no_error(words):
    done = looptree(*words)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: looptree ")


def described(command):
    """What is said of a command, as a sentence."""
    return f"{COMMANDS[command][0].upper()}{COMMANDS[command][1:]}."


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_needs_nothing_else(command, capsys):
    assert main([command, "--help"]) == 0
    said = capsys.readouterr()
    assert said.err == "" and said.out.startswith("usage: looptree ")
    if command in ("train", "describe", "profile", "trace"):
        assert said.out.splitlines()[0] == f"usage: looptree {command} ALGORITHM ENVIRONMENT [OPTIONS]"
        assert f"algorithms: {', '.join(ALGORITHMS)}\n" in said.out
    if command not in ("runs", "presets"):
        assert described(command) in " ".join(said.out.split())
    assert "{None}" not in said.out


def test_help_of_an_algorithm_has_its_own_defaults(capsys):
    assert main(["train", "dqn", "--help"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("usage: looptree train dqn ENVIRONMENT [-h] ")
    assert f"(default: {DQNSettings().learning_rate})" in " ".join(said.split())


def test_the_version_is_that_of_the_package(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"looptree {metadata.version('looptree')}\n"


def test_help_of_a_command_has_the_presets_of_the_environment():
    done = looptree("train", "dqn", "CartPole-v1", "--help")
    assert "--steps INT" in done.stdout and "--learning-rate FLOAT" in done.stdout
    assert "(default: 0.0023)" in done.stdout and "--out" in done.stdout


def test_presets_are_listed_with_their_env_steps_and_source():
    done = looptree("presets")
    assert (done.returncode, done.stderr) == (0, "")
    head, *lines = done.stdout.splitlines()
    assert head.split() == ["algorithm", "environment", "env", "steps", "source"]
    assert ["dqn", "CartPole-v1", "50,000", "rl-zoo", "dqn.yml"] in [line.split() for line in lines]
    assert {line.split()[0] for line in lines} == {"a2c", "c51", "d3qn", "dqn", "ppo", "rainbow"}


def test_the_presets_of_an_algorithm_come_with_their_settings():
    done = looptree("presets", "ppo")
    assert (done.returncode, done.stderr) == (0, "")
    first, *_ = done.stdout.split("\n\n")
    assert first.splitlines()[0] == "ppo CartPole-v1: rl-zoo ppo.yml"
    assert ["clip_range", "0.2"] in [line.split() for line in first.splitlines()]
    assert done.stdout.splitlines()[-1].endswith("looptree train ppo ENVIRONMENT --help")


def test_bad_input_has_no_traceback():
    done = looptree("train", "dqn", "CartPole-v9")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("looptree: No environment is registered as")


class Failing(CartPoleEnv):
    def step(self, action):
        if self.np_random.random() < 0.01:
            raise RuntimeError("the pole fell off")
        return super().step(action)


def test_a_failure_shows_its_traceback_and_is_how_the_run_ended(tmp_path, capsys):
    gymnasium.register("Failing-v0", Failing, max_episode_steps=500)
    try:
        status = main(["train", "dqn", "Failing-v0", "--out", str(tmp_path / "out")])
    finally:
        del gymnasium.registry["Failing-v0"]
    said = capsys.readouterr()
    assert status == 1
    assert "RuntimeError: the pole fell off" in said.err.splitlines()[-1]
    assert "source.on_step()" in said.err
    assert Run(tmp_path / "out").ended == "failed in GymSource.on_step: RuntimeError: the pole fell off"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        name for name in FILES if name not in ("agent.npz", "report.html", "results.json")
    ]


SIGNALS = {signal.SIGINT: ("Ctrl-C", 130), signal.SIGTERM: ("SIGTERM", 143)}


def interrupted(tmp_path, presses, vectorization, number):
    """A long run that hears a signal a number of times, from when its first line is there; as from a terminal, the
    processes that it has made hear it too."""
    words = ["train", "dqn", "CartPole-v1", "--out", str(tmp_path / "out"), "--evaluate-every-env-steps", "256"]
    words += ["--vectorization", vectorization, "--num-envs", "2", "--evaluation-episodes", "2"]
    with subprocess.Popen(
        [*COMMAND, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        start_new_session=True,
    ) as process:
        assert process.stderr is not None
        first = process.stderr.readline()
        for _ in range(presses):
            os.killpg(process.pid, number)
        out, err = process.communicate(timeout=120)
    assert "of 50,000 env steps" in first
    with pytest.raises(ProcessLookupError):  # nothing is left of the group
        os.killpg(process.pid, 0)
    return process.returncode, out, err


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_a_signal_ends_the_run_at_the_end_of_a_pass(tmp_path, vectorization, number):
    status, out, err = interrupted(tmp_path, 1, vectorization, number)
    name, expected = SIGNALS[number]
    assert status == expected
    assert "Traceback" not in err and "Warning" not in err
    assert re.search(rf"^dqn stopped by .*: {name}$", out, re.MULTILINE)
    assert "fresh episodes greedily" in out
    assert out.endswith(f"\nlooptree resume {tmp_path / 'out'} goes on\n")
    assert (tmp_path / "out" / "results.json").exists()
    assert Run(tmp_path / "out").ended == f"stopped by GracefulInterrupt: {name}"


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_a_second_one_ends_it_at_once(tmp_path, vectorization, number):
    status, out, err = interrupted(tmp_path, 2, vectorization, number)
    assert status == SIGNALS[number][1]
    assert "Traceback" not in err
    assert out == "" or "fresh episodes" in out  # both may come as one
    assert (tmp_path / "out" / "results.json").exists() == bool(out)


class Impatient(CartPoleEnv):
    """Ctrl-C comes with its 601st step, which is one of the evaluation behind a training of 600."""

    steps = 0

    def step(self, action):
        Impatient.steps += 1
        if Impatient.steps == 601:
            signal.raise_signal(signal.SIGINT)
        return super().step(action)


def test_a_training_that_has_ended_has_its_agent_whatever_becomes_of_the_evaluation(tmp_path, capsys):
    folder = tmp_path / "out"
    gymnasium.register("Impatient-v0", Impatient, max_episode_steps=500)
    try:
        assert main(["train", "dqn", "Impatient-v0", *SHORT[2:], "--out", str(folder)]) == 130
        with np.load(folder / "agent.npz") as agent:
            assert agent.files
        assert not (folder / "results.json").exists()
        assert main(["resume", str(folder)]) == 0
    finally:
        del gymnasium.registry["Impatient-v0"]
    assert sorted(path.name for path in folder.iterdir()) == FILES
    capsys.readouterr()


# output that cannot be written


def into_a_closed_pipe(*words, cwd=None):
    """The status, and what is said of it."""
    with subprocess.Popen(
        [*COMMAND, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        cwd=cwd,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        err = process.stderr.read()
        process.wait(timeout=120)
    return process.returncode, err


def through_a_shell(line, cwd):
    """The status, and what is said of it, of a line in which `looptree` stands for the command."""
    script = f'looptree() {{ "{sys.executable}" -m looptree.cli "$@"; }}; {line}'
    done = subprocess.run(
        ["sh", "-c", script], stderr=subprocess.PIPE, text=True, timeout=120, env=environment(), cwd=cwd
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    "words", [["--help"], ["runs"], ["describe", "dqn", "CartPole-v1"], ["train", "dqn", "CartPole-v1", "--help"]]
)
def test_output_that_nobody_reads_is_no_traceback(words, tmp_path):
    (tmp_path / "runs").mkdir()
    assert into_a_closed_pipe(*words, cwd=tmp_path) == (1, "")


@pytest.mark.parametrize("words", ["--help", "runs", "describe dqn CartPole-v1"])
def test_output_that_is_closed_or_of_a_file_that_is_full_is_no_traceback(words, tmp_path):
    (tmp_path / "runs").mkdir()
    assert through_a_shell(f"looptree {words} >&-", tmp_path) == (0, "")
    # The file may not grow, as on a full disk; SIGXFSZ, which says so besides, Python does not hear.
    status, err = through_a_shell(f"ulimit -f 0; looptree {words} > full", tmp_path)
    assert (status, err) == (1, "looptree: standard output cannot be written: File too large.\n")


def test_a_training_whose_output_nobody_reads_has_all_its_files(tmp_path):
    status, err = into_a_closed_pipe("train", *SHORT, "--out", tmp_path / "out")
    assert status == 1 and "Traceback" not in err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == FILES
