"""The command resume: a run that was interrupted or killed is gone on with, in its folder."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from looptree.callbacks.checkpoints import newest_checkpoint
from looptree.callbacks.checkpoints.layout import CHECKPOINTS, numbered
from looptree.cli.kept import KeptOptions, begun_learner, load_kept
from looptree.cli.options import checked_every_s, given_run, parsed
from looptree.cli.results import results_of
from looptree.cli.train import checkpoints, conclude, trained
from looptree.cli.usage import UsageError, readable
from looptree.core.errors import LooptreeError
from looptree.observe.runs import NotARun, Recorder, Run
from looptree.rl.learner import Learner


@dataclass(frozen=True)
class ResumeOptions(KeptOptions):
    """The options of resume."""

    checkpoint_every_s: float = 60.0
    """Seconds between two checkpoints. 0: none, so that what is made now cannot be resumed."""


def resume(words: list[str]) -> int:
    """Go on with a run from its newest checkpoint, with its own settings, and end it as train does.

    Raises:
        UsageError: the words do not fit, there is no such run, or it is one that goes on or has made all its steps.
    """
    options = parsed("resume", ResumeOptions, words)
    every_s = checked_every_s(options.checkpoint_every_s)
    folder = given_run("resume", options.folder)
    _refuse_one_that_goes_on(folder)
    learner = begun_learner(folder, options)
    _refuse_one_that_has_ended(folder, learner)
    inexact = _loaded(learner, folder)
    with contextlib.ExitStack() as stack:
        try:
            recorder = stack.enter_context(Recorder.resume(learner, folder, inexact=inexact))
        except LooptreeError as error:
            raise UsageError(str(error)) from error
        print("\n".join([f"{learner.name} goes on from env step {learner.env_steps:,}", *inexact]), flush=True)
        status = trained(learner, *checkpoints(recorder, every_s))
    return conclude(learner, recorder, status)


def _refuse_one_that_goes_on(folder: Path) -> None:
    try:
        goes_on = Run(folder).goes_on
    except NotARun as error:
        raise UsageError(str(error)) from error
    if goes_on:
        raise UsageError(f"{folder} goes on in another process; looptree report --live {folder} follows it.")


def _refuse_one_that_has_ended(folder: Path, learner: Learner) -> None:
    """A run has ended when all env steps are made and its agent is written down, and is whole."""
    env_steps = results_of(folder).get("env_steps", 0)
    if isinstance(env_steps, int) and env_steps >= learner.total_env_steps and _has_agent(folder, learner):
        raise UsageError(
            f"{folder} has made all of its {env_steps:,} env steps; looptree play {folder} plays its agent."
        )


def _has_agent(folder: Path, learner: Learner) -> bool:
    try:
        load_kept(learner, folder)
    except UsageError:
        return False
    return True


def _loaded(learner: Learner, folder: Path) -> tuple[str, ...]:
    """Bring a learner into the state of a run's newest checkpoint; a run that was killed before its first pass is begun
    again. What is not as it was, in sentences."""
    with readable(folder):
        has_checkpoint = bool(numbered(folder / CHECKPOINTS))
    try:
        if not has_checkpoint:
            return _begun_again(folder)
        checkpoint = newest_checkpoint(folder)
        checkpoint.into(learner)
    except LooptreeError as error:
        raise UsageError(str(error)) from error
    return learner.inexact + tuple(f"The checkpoint was {each}." for each in checkpoint.other_versions)


def _begun_again(folder: Path) -> tuple[str, ...]:
    """Nothing of a run is lost that has not made a pass."""
    passes = Run(folder).passes
    if passes:
        raise UsageError(
            f"{folder} has no checkpoint to go on from, and {passes:,} passes that would be lost; looptree train "
            f"begins again, in another folder (--out)."
        )
    return ()
