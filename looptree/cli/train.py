"""The command train: an agent is trained, in a folder that tells all about it."""

from __future__ import annotations

import contextlib
import datetime
import itertools
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from looptree.callbacks.checkpoints import Checkpoint
from looptree.callbacks.checkpoints.layout import CHECKPOINTS, numbered
from looptree.callbacks.interrupt import GracefulInterrupt
from looptree.callbacks.progress import Progress
from looptree.cli.options import Options
from looptree.cli.report import save_report
from looptree.cli.results import save_agent, save_results
from looptree.cli.usage import UsageError, readable
from looptree.core.callback import Callback
from looptree.core.errors import LooptreeError
from looptree.observe.runs import Recorder
from looptree.observe.runs.recorder import RunExists
from looptree.observe.save import CannotSave
from looptree.rl.learner import Learner
from looptree.rl.made_with import made_with

RUNS = Path("runs")
"""Where runs go that are told no other place."""

_EVALUATION_EPISODES = 20
_SHOWN = ("episode_return", "loss", "epsilon")


def train(options: Options) -> int:
    """Train an agent, print where the time went, and evaluate the agent that the run keeps."""
    learner = built(options)
    recorder = _recorder(learner, options)
    with contextlib.ExitStack() as stack:
        _begin(recorder, stack)
        status = trained(learner, *checkpoints(recorder, options.checkpoint_every_s))
    return conclude(learner, recorder, status)


def conclude(learner: Learner, recorder: Recorder, status: int) -> int:
    """What comes behind a training that ended with a status: write the agent that is kept, evaluate it, write that and
    a page about the run, and only then print it all, so that whatever fails or is interrupted costs nothing before it.

    The status is 1 where the disk did not take all of it.
    """
    folder = recorder.folder
    place = _saved(folder, lambda place: save_agent(place, learner.kept_state))
    returns = learner.evaluate(_EVALUATION_EPISODES)
    place = _saved(place, lambda place: save_results(place, _results(learner, returns, recorder.seconds)))
    page = _reported(folder)
    lines = [str(recorder.profile), ending(learner), _evaluation(learner, returns), f"run: {folder}"]
    lines += [f"report: {page}"] if page is not None else []
    lines += [f"looptree resume {folder} goes on"] if status and numbered(folder / CHECKPOINTS) else []
    print("\n".join(lines))
    return status if page is not None and place == folder and recorder.whole else 1


def _saved(folder: Path, save: Callable[[Path], None]) -> Path:
    """Save in a folder, and where that takes nothing, where temporary files go; the folder that took it.

    Raises:
        CannotSave: there is no place at all.
    """
    try:
        save(folder)
        return folder
    except CannotSave as error:
        elsewhere = Path(tempfile.mkdtemp(prefix="looptree-"))
        save(elsewhere)
        _complain(f"{error} It is in {elsewhere} instead, with the results; move them to {folder}.")
        return elsewhere


def _reported(folder: Path) -> Path | None:
    """The page about a run, where it could be written."""
    try:
        return save_report([folder])
    except UsageError as error:
        _complain(f"there is no report. {error}")
        return None


def _complain(text: str) -> None:
    print(f"looptree: {text}", file=sys.stderr)


def checkpoints(recorder: Recorder, every_s: float) -> list[Checkpoint]:
    """What writes checkpoints into the folder of a recorder, each when the rows of its passes are there; nobody where
    there are to be none."""
    return [Checkpoint(recorder.folder, every_s, beforehand=recorder.on_disk)] if every_s else []


def built(options: Options) -> Learner:
    """The learner that the options ask for; what does not fit it is a matter of the command line."""
    make: Callable[..., Learner] = options.algorithm.learner
    try:
        return make(options.env_id, options.settings, seed=options.seed)
    except LooptreeError as error:
        raise UsageError(str(error)) from error


def trained(learner: Learner, *cbs: Callback) -> int:
    """Run a learner with a bar, to its end or to the end of the pass in which Ctrl-C or SIGTERM came, and return the
    status."""
    interrupt = GracefulInterrupt()
    shown = [name for name in _SHOWN if hasattr(learner, name)]
    learner.run(cbs=[Progress(*shown, over="env_steps", total=learner.total_env_steps), interrupt, *cbs])
    return interrupt.status


def ending(learner: Learner) -> str:
    """How a run ended, and what it did."""
    restarts = f"; {learner.restarts:,} episodes broke off with their environment" if learner.restarts else ""
    return (
        f"\n{learner.name} {learner.ended}\n"
        f"it made {learner.env_steps:,} env steps and {learner.gradient_steps:,} gradient steps{restarts}"
    )


def _recorder(learner: Learner, options: Options) -> Recorder:
    return Recorder(
        learner,
        options.out or _new_folder(options),
        metrics=learner.metrics,
        over="env_steps",
        fields=options.fields or learner.traced,
        inside=bool(options.fields),  # what is traced of itself changes in the learner's own hooks
        settings=made_with(options.algorithm_name, options.env_id, options.settings, options.seed),
    )


def _begin(recorder: Recorder, stack: contextlib.ExitStack) -> None:
    """Enter a recorder; what does not fit it is a matter of the command line."""
    with readable(recorder.folder):
        has_checkpoints = bool(numbered(recorder.folder / CHECKPOINTS))
    if has_checkpoints:
        raise UsageError(
            f"--out: {recorder.folder} has a run in it already. Name another folder, or move that one away."
        )
    try:
        stack.enter_context(recorder)
    except (RunExists, CannotSave) as error:
        raise UsageError(f"--out: {error}") from error
    except LooptreeError as error:
        raise UsageError(f"--fields: {error}") from error


def _new_folder(options: Options) -> Path:
    """A folder for a run of this hour, minute and second, which is not there yet."""
    environment = re.sub(r"[^\w.-]+", "-", options.env_id)
    name = f"{options.algorithm_name}-{environment}-{datetime.datetime.now():%Y%m%d-%H%M%S}"
    with readable(RUNS):
        number = next(number for number in itertools.count(1) if not (RUNS / _numbered(name, number)).exists())
    return RUNS / _numbered(name, number)


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}-{number}"


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
