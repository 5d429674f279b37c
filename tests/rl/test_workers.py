"""Environments in processes of their own that really break: they raise, exit, are killed, in step and in reset."""

import contextlib
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from functools import partial
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch

from looptree.core.errors import BadSetting
from looptree.rl.algorithms.a2c import A2C, A2CSettings
from looptree.rl.algorithms.dqn import DQN, DQNSettings
from looptree.rl.algorithms.ppo import PPO, PPOSettings
from looptree.rl.environments import Recipe
from looptree.rl.errors import EnvironmentBroken, EnvironmentNotSaved, EnvironmentRestarted
from looptree.rl.normalise import NormaliseRewards
from looptree.rl.source import EpisodeSource, GymSource
from looptree.rl.workers import RestartingVectorEnv
from tests.rl.toys import Fragile

REPOSITORY = Path(__file__).resolve().parents[2]

TOLD = {
    "raise": "RuntimeError: it fell",
    "unpicklable": "Local: it fell",
    "reset": "RuntimeError: it fell",
    "exit": "Its process exited with status 3.",
    "kill": "Its process was ended by SIGKILL.",
}


@pytest.fixture(autouse=True)
def no_process_is_left():
    before = multiprocessing.active_children()  # of tests in other files, until their learners are let go of
    yield
    assert set(multiprocessing.active_children()) <= set(before)


def fragile(fault, once, at=7):
    """Three environments, of which the one in the middle breaks."""
    return RestartingVectorEnv([Fragile, partial(Fragile, fault, at, once), Fragile])


def kept(environments, steps, cbs=None):
    """The source that made some steps, and its transitions."""
    source = GymSource(environments, cbs=cbs, seed=5, times=steps)
    transitions = list(source)
    source.close()
    return source, transitions


@pytest.mark.parametrize("fault", TOLD)
def test_a_step_is_lost_and_all_else_goes_on(fault, tmp_path):
    with pytest.warns(EnvironmentRestarted) as told:
        source, transitions = kept(fragile(fault, tmp_path / "once"), 40)
    message = str(told[0].message)
    assert len(told) == 1
    assert message.startswith("Environment 1 of RestartingVectorEnv(num_envs=3) broke, and was begun anew in a new pro")
    assert "(restart 1)" in message and TOLD[fault] in message
    assert ("Traceback" in message) == (fault not in ("exit", "kill"))

    at = 11 if fault == "reset" else 6
    lost = transitions[at]
    assert lost.real.tolist() == [True, False, True]
    assert lost.truncated.tolist() == [False, True, False]
    assert not lost.terminated[1] and lost.reward[1] == 0.0
    np.testing.assert_array_equal(lost.next_observation[1], lost.observation[1])
    assert lost.observation[1, 1] == at
    assert transitions[at + 1].observation[1, 1] == 0.0
    assert all(transition.real.all() for number, transition in enumerate(transitions) if number != at)

    assert (source.restarts, source.env_steps) == (1, 3 * 40 - 1)
    assert source.episodes == 3 + 3 + len([step for step in transitions if step.terminated[1]])
    assert set(source.recent_lengths) == {12} and set(source.recent_returns) == {12.0}
    _, unharmed = kept(fragile("", None), 40)
    for mine, others in zip(transitions, unharmed, strict=True):
        for one, other in zip(mine, others, strict=True):
            np.testing.assert_array_equal(one[[0, 2]], other[[0, 2]])


def test_a_process_killed_from_outside_is_noticed_at_the_next_step():
    source = GymSource(fragile("", None), seed=5)
    killed = source.environments.processes[1].pid
    with pytest.warns(EnvironmentRestarted, match="ended by SIGKILL"):
        for number, transition in enumerate(source):
            if number == 3:
                os.kill(killed, signal.SIGKILL)
                os.waitid(os.P_PID, killed, os.WEXITED | os.WNOWAIT)
            if number == 4:
                break
    assert transition.real.tolist() == [True, False, True]
    pids = [process.pid for process in source.environments.processes]
    assert killed not in pids and len(set(pids)) == 3
    assert all(process.is_alive() for process in source.environments.processes)
    source.close()


def test_a_process_that_hangs_is_ended_and_begun_anew():
    environments = RestartingVectorEnv([Fragile] * 3, step_timeout_s=5)
    source = GymSource(environments, seed=5)
    stopped = environments.processes[1].pid
    with pytest.warns(EnvironmentRestarted, match="restart 1.*It gave no answer for 5 s, and was ended") as told:
        for number, transition in enumerate(source):
            if number == 3:
                os.kill(stopped, signal.SIGSTOP)
            if number == 4:
                lost = transition
            if number == 20:
                break
    assert len(told) == 1
    assert (lost.real.tolist(), lost.truncated.tolist()) == ([True, False, True], [False, True, False])
    assert not lost.terminated.any()
    assert transition.real.all() and (source.restarts, environments.restarts) == (1, 1)
    assert running([stopped]) == []
    source.close()


def test_time_in_which_all_is_stopped_is_not_held_against_a_process():
    script = """
        import warnings
        from looptree.rl.source import GymSource
        from looptree.rl.workers import RestartingVectorEnv
        from tests.rl.test_workers import Slow
        warnings.simplefilter("error")
        source = GymSource(RestartingVectorEnv([Slow] * 2, step_timeout_s=3), times=12)
        print("ready", flush=True)
        source.run()
        source.close()
        print(source.restarts, flush=True)
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        start_new_session=True,
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        time.sleep(0.3)  # into the step that takes half a second
        os.killpg(process.pid, signal.SIGSTOP)  # as Ctrl-Z does
        time.sleep(5)
        os.killpg(process.pid, signal.SIGCONT)
        out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "0\n")


@pytest.mark.parametrize("fault", ["exit", "raise", "reset"])
def test_no_two_episodes_start_alike_restarts_included(fault):
    starts = []
    with pytest.warns(EnvironmentRestarted):
        source = GymSource(RestartingVectorEnv([partial(Fragile, fault, at) for at in (5, 6, 9)]), seed=5)
        for number, transition in enumerate(source):
            starts += transition.observation[transition.observation[:, 1] == 0.0, 0].tolist()
            if number == 60:
                break
    source.close()
    assert source.restarts > 10
    assert len(starts) == len(set(starts)) > 10
    with pytest.warns(EnvironmentRestarted):
        again, _ = kept(RestartingVectorEnv([partial(Fragile, fault, at) for at in (5, 6, 9)]), 61)
    assert again.restarts == source.restarts
    np.testing.assert_array_equal(again.observation, source.observation)


def test_an_environment_may_break_when_it_is_first_reset(tmp_path):
    environments = RestartingVectorEnv([Fragile, partial(Fragile, "reset", once=tmp_path / "once", first=True)])
    with pytest.warns(EnvironmentRestarted, match="it fell"):
        source, transitions = kept(environments, 5)
    assert environments.restarts == 1
    assert all(transition.real.all() for transition in transitions)
    assert (transitions[0].observation[:, 1] == 0.0).all()
    assert source.restarts == 0  # no episode was under way


@pytest.mark.parametrize(("fault", "at"), [("raise", 1), ("kill", 1), ("reset", 1)])
def test_one_that_breaks_again_and_again_ends_the_run(fault, at):
    broken = partial(Fragile, fault, at, first=fault == "reset")
    source = GymSource(RestartingVectorEnv([Fragile, broken]), times=20)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with pytest.raises(EnvironmentBroken) as error:
            source.run()
    assert str(error.value).startswith("Environment 1 broke 4 times without completing a step. It")
    assert TOLD[fault] in str(error.value)
    assert len(told) == 3
    with pytest.raises(EnvironmentBroken):  # it is no better the second time
        source.run()
    source.close()


@pytest.mark.parametrize("most", [0, 3])
def test_no_more_restarts_are_made_than_are_allowed(most):
    environments = RestartingVectorEnv([partial(Fragile, "kill"), Fragile], max_restarts=most)
    source = GymSource(environments)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with pytest.raises(EnvironmentBroken) as error:
            source.run()
    source.close()
    assert str(error.value) == (
        f"Environment 0 broke, and environments were begun anew {most} times already, which is max_restarts. "
        f"Its process was ended by SIGKILL."
    )
    assert len(told) == environments.restarts == source.restarts == most
    assert source.env_steps == 2 * 6 + most * (6 + 7)
    assert source.ended.startswith("failed in GymSource.on_step: EnvironmentBroken: ")


class Unmakeable(Fragile):
    """Can only be made in the process that imported it."""

    home = os.getpid()

    def __init__(self):
        super().__init__()
        if os.getpid() != self.home:
            raise RuntimeError("nothing here to stand on")


def test_one_that_cannot_be_made_in_its_process_is_named():
    with pytest.raises(EnvironmentBroken) as error:
        RestartingVectorEnv([Fragile, Unmakeable])
    assert str(error.value).startswith("Environment 1 broke when asked for '_check_spaces'. It raised:\nTraceback")
    assert "nothing here to stand on" in str(error.value)


def in_order(source):
    """Run a source that was broken off: new episodes begin, in which each step follows from the one before."""
    clock = np.zeros(source.num_envs)
    for transition in source:
        assert transition.real.all()
        assert (transition.observation[:, 1] == clock).all()
        assert (transition.next_observation[:, 1] == clock + 1).all()
        assert (transition.next_observation[:, 0] == transition.observation[:, 0]).all()
        clock = (clock + 1) % 12
    return True


def test_a_warning_that_is_an_error_leaves_all_in_order(tmp_path):
    source = GymSource(fragile("raise", tmp_path / "once"), times=30)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(EnvironmentRestarted):
            source.run()
    assert in_order(source)
    source.close()
    assert (source.count, source.env_steps) == (6 + 30, 3 * (6 + 30))


class Slow(Fragile):
    """Takes half a second for its third step."""

    def step(self, action):
        if self.clock == 2:
            time.sleep(0.5)
        return super().step(action)


def test_ctrl_c_in_the_middle_of_a_step_leaves_all_in_order():
    source = GymSource(RestartingVectorEnv([Fragile, Slow]), times=10)
    press = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    press.start()
    with pytest.raises(KeyboardInterrupt):
        source.run()
    press.join()
    assert in_order(source)
    source.close()
    assert (source.restarts, source.env_steps) == (0, 2 * (2 + 10))


ONLY_BEGUN = """
import os, signal
from looptree.rl.workers import RestartingVectorEnv
from tests.rl.toys import Fragile

environments = RestartingVectorEnv([Fragile, Fragile])
environments.reset(seed=1)
# The earliest moment at which a process can hear what a terminal sends to all.
os.register_at_fork(after_in_child=lambda: [os.kill(os.getpid(), number) for number in (signal.SIGTERM, signal.SIGINT)])
os.kill(environments.processes[0].pid, signal.SIGKILL)
environments.step(environments.action_space.sample())  # which begins one anew
print(environments.restarts, signal.pthread_sigmask(signal.SIG_BLOCK, []))
environments.close()
"""


@pytest.mark.skipif(multiprocessing.get_start_method() != "fork", reason="what is told is told to copies of a process")
def test_a_process_that_is_begun_anew_leaves_ctrl_c_and_sigterm_to_the_one_that_made_it():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ONLY_BEGUN], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "1 set()\n", "")


class Clinging(Fragile):
    """Does not want to close."""

    def close(self):
        if multiprocessing.parent_process() is not None:
            time.sleep(60)


def test_what_does_not_close_by_itself_is_ended():
    environments = RestartingVectorEnv([Fragile, Clinging])
    environments.reset(seed=[1, 2])
    environments.close(timeout=0.2)
    assert not any(process.is_alive() for process in environments.processes)


def test_other_questions_are_answered_as_gymnasium_does(tmp_path):
    environments = fragile("", None)
    environments.reset(seed=[1, 2, 3])
    environments.set_attr("at", [7, 8, 9])
    assert environments.get_attr("at") == (7, 8, 9)
    assert environments.call("get_wrapper_attr", "clock") == (0, 0, 0)
    os.kill(environments.processes[0].pid, signal.SIGKILL)
    with pytest.raises(EnvironmentBroken, match="Environment 0 broke when asked for '_call'"):
        environments.call("get_wrapper_attr", "clock")
    environments.close()


def test_an_evaluation_waits_for_an_episode_that_is_whole(tmp_path):
    source = EpisodeSource(fragile("raise", tmp_path / "once"))
    with pytest.warns(EnvironmentRestarted):
        source.run()
    source.close()
    assert source.lengths.tolist() == [12, 12, 12]
    assert source.returns.tolist() == [12.0, 12.0, 12.0]


def test_an_evaluation_whose_episodes_never_end_is_given_up():
    source = EpisodeSource(RestartingVectorEnv([partial(Fragile, "raise", at=2)]))
    with pytest.warns(EnvironmentRestarted), pytest.raises(EnvironmentBroken) as error:
        source.run()
    source.close()
    assert str(error.value) == (
        "4 episodes broke off before 1 came to their end; the EnvironmentRestarted warnings say why."
    )


def registered(fault, once=None):
    """An id of environments that break: all of them in every process, or the first to come so far only."""
    name = f"LooptreeFragile{fault}-v0"
    gymnasium.registry.pop(name, None)
    gymnasium.register(name, Fragile, kwargs={"fault": fault, "once": once})
    return name


@pytest.mark.parametrize("fault", ["raise", "kill"])
def test_ppo_learns_on_and_twice_the_same(fault):
    class Sums(NormaliseRewards):
        lost = 0

        def after_collect(self, _phase="train"):
            super().after_collect()
            self.lost += int((~self.memory.real).sum())
            # Each step gives 1, which is not discounted: the sums are how far the present episodes have come.
            assert self.sums.tolist() == self.loop.source.observation[:, 1].tolist()

    settings = PPOSettings(
        total_env_steps=120,
        num_envs=2,
        vectorization="async",
        steps_per_rollout=10,
        hidden_sizes=(8,),
        batch_size=5,
        epochs=2,
        gamma=1.0,
        evaluate_every_env_steps=1_000,
        evaluation_episodes=1,
    )
    found = []
    for _ in range(2):
        sums = Sums(2, 1.0)
        learner = PPO(registered(fault), settings, sums, seed=1)
        with pytest.warns(EnvironmentRestarted):
            learner.run()
        for source in (learner.source, learner.valid_source):
            source.close()
        assert (learner.source.restarts, learner.source.episodes, learner.env_steps) == (sums.lost, 0, 120)
        assert sums.lost == 2 * (learner.source.count // 7)  # 6 steps that count, and one that breaks
        found.append([parameter.clone() for parameter in learner.network.parameters()])
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


def test_dqn_remembers_real_steps_only_and_twice_the_same(tmp_path):
    settings = DQNSettings(
        total_env_steps=120,
        vectorization="async",
        hidden_sizes=(8,),
        learning_starts_env_steps=10,
        batch_size=8,
        evaluate_every_env_steps=1_000,
        evaluation_episodes=1,
    )
    found = []
    for number in range(2):
        learner = DQN(registered("exit", tmp_path / str(number)), settings, seed=1)
        with pytest.warns(EnvironmentRestarted):
            learner.run()
        for source in (learner.source, learner.valid_source):
            source.close()
        assert (learner.source.restarts, len(learner.memory), learner.env_steps) == (1, 120, 120)
        found.append(list(learner.network.parameters()))
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


class Hanging(Fragile):
    """The first to come to its 30th step does not come back from it."""

    steps = 0

    def step(self, action):
        self.steps += 1
        if self.steps == 30:
            with contextlib.suppress(FileExistsError):
                self.once.touch(exist_ok=False)
                os.kill(os.getpid(), signal.SIGSTOP)
        return super().step(action)


@pytest.mark.parametrize(("algorithm", "kind"), [(DQN, DQNSettings), (PPO, PPOSettings), (A2C, A2CSettings)])
def test_every_algorithm_goes_on_where_a_process_hangs(algorithm, kind, tmp_path):
    gymnasium.register("LooptreeHanging-v0", Hanging, kwargs={"once": tmp_path / "once"})
    shared = {"vectorization": "async", "num_envs": 2, "step_timeout_s": 5.0, "max_restarts": 1}
    settings = kind(total_env_steps=200, hidden_sizes=(8,), evaluation_episodes=1, **shared)
    try:
        learner = algorithm("LooptreeHanging-v0", settings)
        with pytest.warns(EnvironmentRestarted, match="It gave no answer for 5 s"):
            learner.run()
    finally:
        del gymnasium.registry["LooptreeHanging-v0"]
    for source in (learner.source, learner.valid_source):
        source.close()
    assert (learner.restarts, learner.source.restarts) == (1, 1)
    assert learner.env_steps >= 200
    assert learner.ended.startswith("ran ")


def test_limits_that_cannot_be_are_refused():
    with pytest.raises(BadSetting, match=re.escape("DQNSettings(step_timeout_s=0.0): a number above 0 would fit.")):
        DQNSettings(step_timeout_s=0)
    with pytest.raises(BadSetting, match=re.escape("PPOSettings(max_restarts=-1): a whole number of 0 or more would")):
        PPOSettings(max_restarts=-1)
    with pytest.raises(BadSetting, match=re.escape("Recipe(max_restarts=1.5): a whole number would fit.")):
        Recipe("CartPole-v1", max_restarts=1.5)


class Labelled(gymnasium.ObservationWrapper):
    """Shows what it wraps as an entry of a Dict."""

    def __init__(self, env):
        super().__init__(env)
        self.observation_space = gymnasium.spaces.Dict({"numbers": env.observation_space})

    def observation(self, observation):
        return {"numbers": observation}


def test_observations_of_several_entries_are_lost_alike(tmp_path):
    def labelled(fault):
        return Labelled(Fragile(fault, once=tmp_path / "once"))

    with pytest.warns(EnvironmentRestarted):
        _, transitions = kept(RestartingVectorEnv([partial(labelled, ""), partial(labelled, "kill")]), 10)
    lost = transitions[6]
    assert (lost.real.tolist(), lost.truncated.tolist()) == ([True, False], [False, True])
    np.testing.assert_array_equal(lost.next_observation["numbers"][1], lost.observation["numbers"][1])
    assert transitions[7].observation["numbers"][:, 1].tolist() == [7.0, 0.0]


def test_restarts_are_part_of_the_state(tmp_path):
    source = GymSource(fragile("exit", tmp_path / "once"), seed=5, times=20)
    with pytest.warns(EnvironmentRestarted):
        source.run()
    other = GymSource(fragile("", None), seed=6, times=20)
    other.load_state_dict(source.state_dict())
    assert (other.restarts, other.environments.restarts, other.restarted) == (1, 1, "")
    begun = []
    for each in (source, other):
        os.kill(each.environments.processes[1].pid, signal.SIGKILL)
        with pytest.warns(EnvironmentRestarted, match="restart 2"):
            begun.append(list(each)[1].observation)
        each.close()
    np.testing.assert_array_equal(*begun)  # from the same new seed


def test_an_environment_that_dies_when_asked_for_its_state_is_begun_anew(tmp_path):
    source = GymSource(fragile("", None), seed=5, times=5).run()
    os.kill(source.environments.processes[1].pid, signal.SIGKILL)
    with pytest.warns(EnvironmentNotSaved, match="Environment 1 broke when asked for '_call'"):
        assert source.state_dict()["environments"] is None
    with pytest.warns(EnvironmentRestarted):
        source.run()
    source.close()
    assert source.restarts == 1


def running(pids):
    """Those processes that have not ended; one that nobody has waited for yet counts as ended."""
    states = {pid: Path(f"/proc/{pid}/stat") for pid in pids}
    return [pid for pid, stat in states.items() if stat.exists() and stat.read_text().rsplit(")")[1].split()[0] != "Z"]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("end", ["kill", "exit", "fall off the end"])
def test_no_process_outlives_the_one_that_made_it(end):
    ends = {"kill": "os.kill(os.getpid(), 9)", "exit": "sys.exit(4)", "fall off the end": ""}
    script = f"""
        import os, sys
        from looptree.rl.environments import Recipe
        from looptree.rl.source import GymSource
        source = GymSource(Recipe("CartPole-v1", vectorization="async"), 4, times=5).run()
        os.kill(source.environments.processes[1].pid, 9)
        source.run()
        print(*[process.pid for process in source.environments.processes], flush=True)
        {ends[end]}
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
    )
    pids = [int(word) for word in done.stdout.split()]
    assert len(pids) == 4, done.stderr
    until = time.monotonic() + 20
    while running(pids) and time.monotonic() < until:
        time.sleep(0.05)
    assert running(pids) == []
    assert "EnvironmentRestarted" in done.stderr
    assert "Traceback" not in done.stderr
