"""Groups: runs that were made with the same settings, but for the seed, are tries of the same thing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from looptree.observe.runs import Run

_SEED = "seed"
_LONGEST = 40  # letters of a value in a name
_MOST = 3  # settings in a name


@dataclass(frozen=True)
class Group:
    """Runs of the same settings, under a name that tells what is different in other groups."""

    name: str
    runs: tuple[Run, ...]


@dataclass(frozen=True)
class Difference:
    """A setting that is not the same everywhere, with its value in each group; none where a group has no such."""

    name: str
    values: tuple[str, ...]


def flat(settings: object, above: str = "") -> dict[str, str]:
    """Settings inside settings in one list, `settings.hidden_sizes`, with their values as JSON; texts as they are."""
    if isinstance(settings, dict) and (settings or not above):
        inside = ((f"{above}.{name}" if above else str(name), value) for name, value in settings.items())
        return {name: text for key, value in inside for name, text in flat(value, key).items()}
    return {above: settings if isinstance(settings, str) else json.dumps(settings, ensure_ascii=False)}


def grouped(runs: Sequence[Run]) -> list[Group]:
    """Runs put together by their settings, in the order in which each group's first was given."""
    found: dict[tuple[tuple[str, str], ...], list[Run]] = {}
    for run in runs:
        found.setdefault(tuple(sorted(_made_with(run).items())), []).append(run)
    differ = differences([dict(settings) for settings in found])
    names = [_name(differ, number) for number in range(len(found))]
    return [Group(name or title(group[0]), tuple(group)) for name, group in zip(names, found.values())]


def differences(settings: Sequence[dict[str, str]]) -> list[Difference]:
    """What is not the same in all of some settings."""
    names = dict.fromkeys(name for each in settings for name in each)
    rows = ((name, tuple(each.get(name, "") for each in settings)) for name in names)
    return [Difference(name, values) for name, values in rows if len(set(values)) > 1]


def title(run: Run) -> str:
    """What was run: `DQN on CartPole-v1`."""
    loop, env_id = str(run.description.get("class", run.loop)), run.settings.get("env_id")
    return f"{loop} on {env_id}" if isinstance(env_id, str) else loop


def seed_of(run: Run) -> str:
    """The seed as text; nothing where the settings have none."""
    return flat(run.settings).get(_SEED, "")


def _made_with(run: Run) -> dict[str, str]:
    loop = {"loop": str(run.description.get("class", run.loop))}
    return loop | {name: value for name, value in flat(run.settings).items() if name != _SEED}


def _name(differ: Iterable[Difference], number: int) -> str:
    said = [f"{each.name.rpartition('.')[2]} {_short(each.values[number])}" for each in differ if each.values[number]]
    return ", ".join(said[:_MOST]) + (f" and {len(said) - _MOST} more" if len(said) > _MOST else "")


def _short(text: Any) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
