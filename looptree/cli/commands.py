"""The commands: train, describe, profile and trace an algorithm in an environment."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from looptree.callbacks.interrupt import GracefulInterrupt
from looptree.callbacks.progress import Progress
from looptree.cli.options import Options, read_options
from looptree.cli.output import Output
from looptree.cli.play import play
from looptree.cli.presets import show_presets
from looptree.cli.usage import UsageError
from looptree.core.errors import LooptreeError
from looptree.observe.describe import describe
from looptree.observe.profile import Profile
from looptree.observe.trace import Trace
from looptree.rl.learner import Learner

_EVALUATION_EPISODES = 20
_SHOWN = ("episode_return", "loss", "epsilon")

_INTERRUPTED = 130


def run(command: str, words: list[str]) -> int:
    """Carry out a command with the words behind it, and return the exit status.

    Raises:
        UsageError: the words do not fit.
    """
    if "" not in sys.path:
        sys.path.append("")  # the module of an environment `module:EnvId` may stand in the working directory
    if command == "presets":
        return show_presets(words)
    if command == "play":
        return play(words)
    return _COMMANDS[command](read_options(command, words))


def _train(options: Options) -> int:
    output = Output(options.out) if options.out is not None else None
    learner = _built(options)
    begin_s = time.perf_counter()
    with Profile(learner) as profile:
        status = _trained(learner)
    train_s = time.perf_counter() - begin_s
    print(profile)
    print(_ending(learner))
    returns = learner.evaluate(_EVALUATION_EPISODES)
    print(_evaluation(learner, returns))
    if output is not None:
        output.save(_settings(options), _results(learner, returns, train_s), learner.kept_state)
        print(f"saved in {output.folder}: settings.json, results.json, agent.npz")
    return status


def _describe(options: Options) -> int:
    print(describe(_built(options)))
    return 0


def _profile(options: Options) -> int:
    learner = _built(options)
    with Profile(learner) as profile:
        status = _trained(learner)
    print(profile)
    print(_ending(learner))
    return status


def _trace(options: Options) -> int:
    learner = _built(options)
    try:
        trace = Trace(learner, *options.fields)
    except LooptreeError as error:
        raise UsageError(f"--fields: {error}") from error
    with trace:
        status = _trained(learner)
    print(trace)
    print(_ending(learner))
    return status


_COMMANDS: dict[str, Callable[[Options], int]] = {
    "train": _train,
    "describe": _describe,
    "profile": _profile,
    "trace": _trace,
}


def _built(options: Options) -> Learner:
    """The learner that the options ask for; what does not fit it is a matter of the command line."""
    make: Callable[..., Learner] = options.algorithm.learner
    try:
        return make(options.env_id, options.settings, seed=options.seed)
    except LooptreeError as error:
        raise UsageError(str(error)) from error


def _trained(learner: Learner) -> int:
    """Run a learner with a bar, to its end or to the end of the pass in which Ctrl-C came, and return the status."""
    interrupt = GracefulInterrupt()
    shown = [name for name in _SHOWN if hasattr(learner, name)]
    learner.run(cbs=[Progress(*shown, over="env_steps", total=learner.total_env_steps), interrupt])
    return _INTERRUPTED if interrupt.interrupted else 0


def _ending(learner: Learner) -> str:
    return (
        f"\n{learner.name} {learner.ended}\n"
        f"it made {learner.env_steps:,} env steps and {learner.gradient_steps:,} gradient steps"
    )


def _evaluation(learner: Learner, returns: NDArray[np.float64]) -> str:
    if learner.best_state:
        kept = f"env step {learner.best_env_steps:,}, whose evaluation had mean return {learner.best_return:.6g}"
    else:
        kept = f"env step {learner.env_steps:,}, the last one: there was no evaluation during the run"
    return (
        f"kept: the agent of {kept}\n"
        f"it plays {len(returns)} fresh episodes greedily: mean return {returns.mean():.6g}"
        f" (lowest {returns.min():.6g}, highest {returns.max():.6g})"
    )


def _settings(options: Options) -> dict[str, Any]:
    return {
        "algorithm": options.algorithm_name,
        "env_id": options.env_id,
        "seed": options.seed,
        "settings": dataclasses.asdict(options.settings),
    }


def _results(learner: Learner, returns: NDArray[np.float64], train_s: float) -> dict[str, Any]:
    return {
        "ended": learner.ended,
        "train_s": train_s,
        "env_steps": learner.env_steps,
        "gradient_steps": learner.gradient_steps,
        "kept_env_steps": learner.best_env_steps if learner.best_state else learner.env_steps,
        "kept_mean_return": learner.best_return if learner.best_state else None,
        "evaluation_mean_return": float(returns.mean()),
        "evaluation_returns": returns.tolist(),
    }
