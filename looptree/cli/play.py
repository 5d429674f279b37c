"""The command play: episodes of the agent that a run kept, filmed where that is asked for."""

from __future__ import annotations

import contextlib
import importlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import tyro
from gymnasium.vector import VectorEnv

from looptree.cli.drawing import without_screen
from looptree.cli.kept import KeptOptions, kept_learner
from looptree.cli.options import given_run, parsed
from looptree.cli.results import results_of
from looptree.cli.usage import UsageError
from looptree.core.errors import LooptreeError
from looptree.observe.runs import NotARun, Run
from looptree.rl.environments import Recipe
from looptree.rl.learner import Learner
from looptree.rl.seeding import stream

_FORMATS = (".mp4", ".gif")


@dataclass(frozen=True)
class PlayOptions(KeptOptions):
    """The options of play."""

    episodes: int = 5
    """Episodes to play, one after the other."""
    seed: int = 0
    """Where the episodes' random numbers come from."""
    video: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """File for a film of the episodes, .mp4 or .gif."""


def play(words: list[str]) -> int:
    """Play a run's agent greedily, and print each return and their mean.

    Raises:
        UsageError: the words do not fit, or there is no such run.
    """
    options = parsed("play", PlayOptions, words)
    folder = given_run("play", options.folder)
    if options.episodes < 1:
        raise UsageError(f"--episodes {options.episodes}: a whole number of 1 or more would fit.")
    if options.seed < 0:
        raise UsageError(f"--seed {options.seed}: a whole number of 0 or more would fit.")
    learner = kept_learner(folder, options)
    with contextlib.ExitStack() as stack:
        film = stack.enter_context(_film(learner, options.video)) if options.video is not None else None
        source = learner.episode_source(
            learner.network, 1, stream(options.seed, "play"), _environments(learner.recipe, film)
        )
        stack.callback(source.close)
        print(_whose(folder), end="")
        returns = []
        for episode in range(1, options.episodes + 1):
            source.run()
            returns.append(float(source.returns[0]))
            print(f"episode {episode}: return {returns[-1]:.6g}, {source.lengths[0]:,} env steps")
    print(f"mean return {sum(returns) / len(returns):.6g}")
    if options.video is not None:
        print(f"filmed in {options.video}")
    return 0


def _whose(folder: Path) -> str:
    """A line about an agent that was kept before the run went on."""
    results = results_of(folder)
    kept_at = results.get("kept_env_steps")
    with contextlib.suppress(NotARun):
        came_to = Run(folder).steps
        if isinstance(kept_at, int) and results.get("env_steps") != came_to:
            return f"agent of env step {kept_at:,}; the run has come to {came_to:,.10g}\n"
    return ""


def _film(learner: Learner, file: Path) -> contextlib.AbstractContextManager[Any]:
    """A film that is in its place once all of it is there.

    Raises:
        UsageError: there can be none.
    """
    metadata = learner.valid_source.environments.metadata
    if file.suffix not in _FORMATS:
        raise UsageError(f"--video {file}: a file name that ends in .mp4 or .gif would fit.")
    if not file.absolute().parent.is_dir():
        raise UsageError(f"--video {file}: there is no folder {file.absolute().parent}; one that exists would fit.")
    if "rgb_array" not in metadata.get("render_modes", ()):
        raise UsageError(f"--video {file}: {learner.env_id} draws no pictures (it has no render mode 'rgb_array').")
    try:
        video = importlib.import_module("looptree.cli.video")
    except ModuleNotFoundError as error:
        raise UsageError(f"--video needs the package {error.name!r}: pip install 'looptree[video]'") from error
    without_screen()
    film: contextlib.AbstractContextManager[Any] = video.Film(file, metadata.get("render_fps", 30))
    return film


def _environments(recipe: Recipe, film: Any) -> VectorEnv[Any, Any, Any]:
    """A single environment, whose pictures go to the film where there is one."""
    settings = {"render_mode": "rgb_array", "innermost": [film.wrapped]} if film is not None else {}
    try:
        plain = recipe if recipe.vectorization == "envpool" else replace(recipe, vectorization="sync")
        return plain.make(1, **settings)
    except LooptreeError as error:
        raise UsageError(str(error)) from error
