"""RestartingVectorEnv: environments in processes of their own, each of which is begun anew where it breaks."""

from __future__ import annotations

import atexit
import contextlib
import copy
import multiprocessing
import select
import signal
import time
import traceback
import warnings
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode

# What Gymnasium's processes do; it is what AsyncVectorEnv lets its own `worker` be built on.
from gymnasium.vector.async_vector_env import AsyncState, _async_worker
from gymnasium.vector.utils import CloudpickleWrapper, clear_mpi_env_vars

from looptree.core.errors import LooptreeError, StateMismatch
from looptree.rl.environment_state import environment_state, restore_environment
from looptree.rl.errors import EnvironmentBroken, EnvironmentRestarted, EnvironmentStateError
from looptree.rl.seeding import child, integer_seed

LOST = "looptree_lost"  # the entry of infos that says in which environments a step was lost

MOST_FAILURES = 3  # of one environment that are put up with, without a completed step between them
STEP_TIMEOUT_S = 120.0  # for an answer, where nothing else is asked for
MAX_RESTARTS = 100  # of all environments together, where nothing else is asked for
_WAIT_MS = 1_000  # at a time, for an answer
_CLOSE_S = 5.0  # for environments to close themselves in
_EXIT_S = 1.0  # for a process that has broken to end in
_SENT_TO_ALL = (signal.SIGINT, signal.SIGTERM)  # processes, by a terminal or by a job's scheduler

Maker = Callable[[], gymnasium.Env[Any, Any]]


class RestartingVectorEnv(AsyncVectorEnv[Any, Any]):
    """Gymnasium's `AsyncVectorEnv`, which goes on where an environment raises, or where its process dies or hangs.

    A process hangs that gives no answer for `step_timeout_s` seconds, be it to a step or to a reset; it is killed. Time
    in which this process is stopped itself, as by Ctrl-Z, does not count.

    The environment is made anew in a new process, and reset with a seed that has not been used before. Its step is
    lost: for the agent the episode was truncated where it stood, with a reward of 0 and, as `final_obs` of the infos,
    the observation that was acted on; `LOST` of the infos marks the environments to which that happened. The others
    lose nothing. An `EnvironmentRestarted` warning has the traceback, or how the process ended.

    An environment that breaks again and again without completing a step raises `EnvironmentBroken`, and so does one
    that breaks when `max_restarts` have been made, of all environments together. Ctrl-C and SIGTERM, which a terminal
    or a job's scheduler sends to all processes, are left to this one.
    """

    parent_pipes: list[Any]  # of _Worker: what stands where AsyncVectorEnv has the pipes

    def __init__(
        self, makers: Sequence[Maker], *, step_timeout_s: float = STEP_TIMEOUT_S, max_restarts: int = MAX_RESTARTS
    ) -> None:
        self._common = _Common(step_timeout_s, max_restarts)
        super().__init__(makers, shared_memory=False, worker=_serve, autoreset_mode=AutoresetMode.SAME_STEP)

    def _check_spaces(self) -> None:
        """All processes have just begun: put workers in the place of the pipes to them."""
        self.parent_pipes = [
            _Worker(number, maker, process, pipe, self._common)
            for number, (maker, process, pipe) in enumerate(
                zip(self.env_fns, self.processes, self.parent_pipes, strict=True)
            )
        ]
        check: Any = super()._check_spaces
        try:
            check()
        except BaseException:
            self.close(terminate=True)
            raise

    @property
    def restarts(self) -> int:
        """How many environments have been begun anew."""
        return self._common.restarts

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin a new episode in every environment, as `AsyncVectorEnv` does."""
        try:
            return super().reset(seed=seed, options=options)
        finally:
            self._settle()

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step every environment, as `AsyncVectorEnv` does."""
        try:
            return super().step(actions)
        finally:
            self._settle()

    def _settle(self) -> None:
        """Wait for no answer any more, where Ctrl-C has come between, and tell what was begun anew."""
        self._state = AsyncState.DEFAULT
        while self._common.news:
            number, story = self._common.news.pop(0)
            self.processes[number] = self.parent_pipes[number].process
            warnings.warn(
                f"Environment {number} of {self} broke, and was begun anew in a new process (restart {self.restarts}); "
                f"its episode counts as truncated. {story}",
                EnvironmentRestarted,
                stacklevel=3,
            )

    def state_dict(self) -> dict[str, Any]:
        """The states of all environments, and how each would be begun anew.

        Raises `EnvironmentStateError` where one cannot be saved, breaks when it is asked, or has been closed.
        """
        if self.closed:
            raise EnvironmentStateError(f"{self} is closed.")
        try:
            states = self.call("saved_state")
        except EnvironmentBroken as error:
            raise EnvironmentStateError(str(error)) from error
        finally:
            self._settle()
        reason = next((reason for _, reason in states if reason), "")
        if reason:
            raise EnvironmentStateError(reason)
        workers = [worker.state_dict() for worker in self.parent_pipes]
        return {"environments": [state for state, _ in states], "workers": workers}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave.

        Raises `StateMismatch` where the state is of environments of another kind or number.
        """
        if len(state["environments"]) != self.num_envs:
            raise StateMismatch(
                f"The state is of {len(state['environments'])} environments, here are {self.num_envs}; make the "
                f"environments as in the run that was saved."
            )
        for worker, saved, environment in zip(self.parent_pipes, state["workers"], state["environments"], strict=True):
            worker.load_state_dict(saved)
            worker.send(("_call", ("restore", (environment,), {})))
        self._common.restarts = sum(worker.restarts for worker in self.parent_pipes)
        for worker in self.parent_pipes:
            error, _ = worker.recv()
            if error is not None:
                raise error

    def close_extras(self, timeout: float | None = _CLOSE_S, terminate: bool = False) -> None:
        """Let all environments close themselves, and end the processes of those that take longer than `timeout`
        seconds (None: as long as they like); with `terminate`, of all at once."""
        for worker in self.parent_pipes:
            worker.end_soon()
        deadline = time.monotonic() if terminate else None if timeout is None else time.monotonic() + timeout
        for worker in self.parent_pipes:
            worker.end(deadline)


@dataclass
class _Common:
    """What the workers of one vector environment have in common."""

    step_timeout_s: float
    max_restarts: int
    restarts: int = 0
    news: list[tuple[int, str]] = field(default_factory=list)  # environments that were begun anew, and why


class _Worker:
    """An environment in a process of its own, and the pipe to it: what is sent is answered, whatever happens there."""

    def __init__(self, number: int, maker: Maker, process: BaseProcess, pipe: Connection, common: _Common) -> None:
        self.number = number
        self.maker = maker
        self.process = process
        self.restarts = 0
        self._listen(pipe)
        self._common = common
        self._asked: tuple[str, Any] | None = None  # what is to be answered
        self._reset: dict[str, Any] = {"seed": None, "options": None}  # how the present episode was begun
        self._observation: Any = None  # the latest
        self._failures = 0  # since the latest completed step
        _WORKERS.add(self)

    def _listen(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._coming = select.poll()  # Connection.poll makes one anew each time, which takes seven times as long
        self._coming.register(pipe.fileno(), select.POLLIN)

    def send(self, message: tuple[str, Any]) -> None:
        """Ask for something; an answer that nobody has waited for is dropped first."""
        if self._asked is not None:
            self.recv()
        if message[0] == "reset":
            self._reset = message[1]
        self._ask(message)

    def recv(self) -> tuple[Any, bool]:
        """The answer; where the environment broke, that of a new one.

        Raises `EnvironmentBroken` where a new one does no better, or cannot answer what the old one was asked.
        """
        assert self._asked is not None
        command, _ = self._asked
        answer, story = self._hear()
        if story and command not in ("reset", "step"):
            raise EnvironmentBroken(f"Environment {self.number} broke when asked for {command!r}. {story}")
        if story:
            observation, info = self._begin_anew(story)
            lost = {**info, "final_obs": self._observation, LOST: True}
            answer = (observation, 0.0, False, True, lost) if command == "step" else (observation, info)
        elif command == "step":
            self._failures = 0
        if command in ("reset", "step"):
            self._observation = answer[0]
        return answer, True

    def _ask(self, message: tuple[str, Any]) -> None:
        self._asked = message
        with contextlib.suppress(OSError):  # the process is no more, as will be heard
            self._pipe.send(message)

    def _hear(self) -> tuple[Any, str]:
        """The answer of the process, or why there is none. Nothing else waits for it."""
        try:
            if self._answers_in_time():
                answer, well = self._pipe.recv()
                story = "" if well else f"It raised:\n{answer}"
            else:
                self.process.kill()
                answer, story = None, f"It gave no answer for {self._common.step_timeout_s:g} s, and was ended."
        except (EOFError, OSError):
            answer, story = None, self._how_it_ended()
        self._asked = None
        return answer, story

    def _answers_in_time(self) -> bool:
        """Whether an answer, or the end of the process, comes within the time limit. It is waited for in short pieces,
        none of which counts for more than its length, even where this process was stopped meanwhile."""
        left_ms = self._common.step_timeout_s * 1_000
        while left_ms > 0:
            if self._coming.poll(min(left_ms, _WAIT_MS)):
                return True
            left_ms -= _WAIT_MS
        return False

    def _how_it_ended(self) -> str:
        status = self._ended().exitcode or 0
        how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"exited with status {status}"
        return f"Its process {how}."

    def _begin_anew(self, story: str) -> tuple[Any, dict[str, Any]]:
        """The first observation and info of a new environment in a new process."""
        while story:
            self._failures += 1
            if self._failures > MOST_FAILURES:
                raise EnvironmentBroken(
                    f"Environment {self.number} broke {self._failures} times without completing a step. {story}"
                )
            if self._common.restarts == self._common.max_restarts:
                raise EnvironmentBroken(
                    f"Environment {self.number} broke, and environments were begun anew {self._common.restarts} times "
                    f"already, which is max_restarts. {story}"
                )
            self.restarts += 1
            self._common.restarts += 1
            self._common.news.append((self.number, story))
            self._ended()
            self._pipe.close()
            self.process, pipe = _start(self.number, self.maker)
            self._listen(pipe)
            self._ask(("reset", {**self._reset, "seed": self._new_seed()}))
            answer, story = self._hear()
        first: tuple[Any, dict[str, Any]] = answer
        return first

    def _new_seed(self) -> int | None:
        """A seed that no reset has had; None where the latest had none, so that chance decides."""
        seed = self._reset["seed"]
        if seed is None:
            return None
        return integer_seed(child(np.random.SeedSequence(seed), "restart", str(self.restarts)))

    def state_dict(self) -> dict[str, Any]:
        """How the environment would be begun anew, and what its lost step would give; not the environment itself."""
        return {
            "restarts": self.restarts,
            "failures": self._failures,
            "reset": dict(self._reset),
            "observation": copy.deepcopy(self._observation),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        self.restarts = state["restarts"]
        self._failures = state["failures"]
        self._reset = dict(state["reset"])
        self._observation = copy.deepcopy(state["observation"])

    def end_soon(self) -> None:
        """Let the environment close itself."""
        with contextlib.suppress(OSError):
            self._pipe.send(("close", None))

    def end(self, deadline: float | None) -> None:
        """Wait for that until `deadline` (in `time.monotonic`; None: for ever), and no longer."""
        with contextlib.suppress(EOFError, OSError):
            while self._pipe.poll(_left_s(deadline)):
                self._pipe.recv()
        self._pipe.close()
        self._ended(_left_s(deadline))

    def _ended(self, wait_s: float | None = _EXIT_S) -> BaseProcess:
        """The process, which has ended by itself or is ended after `wait_s` seconds."""
        self.process.join(wait_s)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        return self.process


_WORKERS: weakref.WeakSet[_Worker] = weakref.WeakSet()


@atexit.register
def _end_all() -> None:
    """End what nobody has closed: when this process ends, multiprocessing sends SIGTERM, which a worker does not hear,
    and waits."""
    for worker in list(_WORKERS):
        worker.process.kill()


def _left_s(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - time.monotonic())


def _start(number: int, maker: Maker) -> tuple[BaseProcess, Connection]:
    """A process that makes an environment and serves it, and the pipe to it."""
    pipe, their_pipe = multiprocessing.Pipe()
    arguments = (number, CloudpickleWrapper(maker), their_pipe, pipe)
    process = multiprocessing.Process(target=_serve, name=f"Worker-{number}", args=arguments, daemon=True)
    with clear_mpi_env_vars(), _deaf():
        process.start()
    their_pipe.close()
    return process, pipe


@contextlib.contextmanager
def _deaf() -> Iterator[None]:
    """For as long as this `with` lasts, Ctrl-C and SIGTERM wait: a copy of this process, which begins with the handlers
    of this one, is to hear them when it has its own. (A server of copies would stay deaf, and so would all of its.)"""
    if multiprocessing.get_start_method() != "fork":
        yield
        return
    heard = signal.pthread_sigmask(signal.SIG_BLOCK, _SENT_TO_ALL)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, heard)


def _serve(number: int, maker: Maker, pipe: Connection, parent_pipe: Connection, *_: Any) -> None:
    """Make an environment, and do with it what comes down the pipe, until that says close or the other end is no more.
    What is raised goes back as the text of its traceback."""
    for each in _SENT_TO_ALL:
        signal.signal(each, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SENT_TO_ALL)
    report: Any = _Report(pipe)
    with contextlib.suppress(BrokenPipeError):  # nobody listens any more
        try:
            shared: Any = None  # neither memory nor a limit on how many run at a time
            _async_worker(
                number, lambda: _Saved(maker()), pipe, parent_pipe, shared, report, AutoresetMode.SAME_STEP, shared
            )
        except Exception:  # what making or closing an environment raises, Gymnasium does not report
            report.put((traceback.format_exc(),))


class _Saved(gymnasium.Wrapper[Any, Any, Any, Any]):
    """What the process that steps an environment is asked for besides. An error is an answer too: where this raised it,
    the environment would count as broken."""

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Step the environment; the last observation of an episode is a copy, for the reset that follows before it is
        sent may write over it."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        if terminated or truncated:
            observation = copy.deepcopy(observation)
        return observation, reward, terminated, truncated, info

    def saved_state(self) -> tuple[dict[str, Any], str]:
        """The environment's state, or an empty one and why there is none."""
        try:
            return environment_state(self.env), ""
        except EnvironmentStateError as error:
            return {}, str(error)

    def restore(self, state: dict[str, Any]) -> LooptreeError | None:
        """Bring the environment to a state; the error where that cannot be."""
        try:
            restore_environment(self.env, state)
        except (EnvironmentStateError, StateMismatch) as error:
            return error
        return None


class _Report:
    """Stands where Gymnasium has a queue of errors, which would have to pickle what was raised."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def put(self, error: tuple[Any, ...]) -> None:
        self._pipe.send((error[-1], False))
