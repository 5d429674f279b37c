"""The command presets: which settings an algorithm has for which environment, and where they are from."""

from __future__ import annotations

from looptree.cli.usage import UsageError, what_fits
from looptree.core.errors import LooptreeError, listed
from looptree.rl.algorithms import ALGORITHMS
from looptree.rl.presets import PRESETS

_WITHOUT = "looptree presets lists all presets, looptree presets dqn those of an algorithm with their settings"


def show_presets(words: list[str]) -> int:
    """List all presets, or with the name of an algorithm its presets with what they set.

    Raises:
        UsageError: there is no such algorithm, or something is wrong with the file of presets.
    """
    if words in (["-h"], ["--help"]):
        print(f"usage: {_WITHOUT}")
        return 0
    if len(words) > 1 or any(word.startswith("-") for word in words):
        raise UsageError(f"presets is followed by one algorithm at most ({listed(ALGORITHMS)}): {_WITHOUT}.")
    if words and words[0] not in ALGORITHMS:
        raise UsageError(f"there is no algorithm {words[0]!r}; {what_fits(words[0], ALGORITHMS)}")
    try:
        PRESETS.check({name: algorithm.settings for name, algorithm in ALGORITHMS.items()})
    except LooptreeError as error:
        raise UsageError(str(error)) from error
    print("\n".join(_settings(words[0]) if words else _list()))
    return 0


def _list() -> list[str]:
    """A line for each preset."""
    rows = [("algorithm", "environment", "env steps", "source")]
    for name, algorithm in ALGORITHMS.items():
        for env_id, preset in PRESETS.all_of(name, algorithm.settings).items():
            rows.append((name, env_id, f"{preset.settings.total_env_steps:,}", preset.source))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        f"{name:{widths[0]}}  {env_id:{widths[1]}}  {env_steps:>{widths[2]}}  {source}"
        for name, env_id, env_steps, source in rows
    ]


def _settings(name: str) -> list[str]:
    """The presets of an algorithm, each with its settings below it."""
    lines = []
    presets = PRESETS.all_of(name, ALGORITHMS[name].settings)
    for env_id, preset in presets.items():
        width = max(map(len, preset.given))
        lines.append(f"{name} {env_id}: {preset.source}")
        lines += [f"  {setting:{width}}  {getattr(preset.settings, setting)}" for setting in preset.given]
        lines.append("")
    lines.append(f"All settings, with the defaults of those not given here: looptree train {name} ENVIRONMENT --help")
    return lines
