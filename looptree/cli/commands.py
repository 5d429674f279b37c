"""The commands: which function carries out which."""

from __future__ import annotations

import sys
from collections.abc import Callable

from looptree.cli.options import Options, read_options
from looptree.cli.play import play
from looptree.cli.presets import show_presets
from looptree.cli.report import show_report
from looptree.cli.resume import resume
from looptree.cli.runs import show_runs
from looptree.cli.traced import trace
from looptree.cli.train import built, ending, train, trained
from looptree.cli.why import why
from looptree.observe.describe import describe
from looptree.observe.profile import Profile


def run(command: str, words: list[str]) -> int:
    """Carry out a command with the words behind it, and return the exit status.

    Raises:
        UsageError: the words do not fit.
    """
    if "" not in sys.path:
        sys.path.append("")  # the module of an environment `module:EnvId` may stand in the working directory
    return _COMMANDS[command](words)


def _describe(options: Options) -> int:
    print(describe(built(options)))
    return 0


def _profile(options: Options) -> int:
    learner = built(options)
    with Profile(learner) as profile:
        status = trained(learner)
    print(profile)
    print(ending(learner))
    return status


_COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "train": lambda words: train(read_options("train", words)),
    "resume": resume,
    "describe": lambda words: _describe(read_options("describe", words)),
    "profile": lambda words: _profile(read_options("profile", words)),
    "trace": trace,
    "runs": show_runs,
    "why": why,
    "report": show_report,
    "play": play,
    "presets": show_presets,
}
