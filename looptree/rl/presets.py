"""Presets: settings that are known to work, by algorithm and environment, from the data file presets.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from looptree.core.errors import BadSetting, listed, nearest
from looptree.rl.settings import settings_from

Settings = TypeVar("Settings")


class Preset(NamedTuple):
    """The settings of one table of the file, where its values were published, and those values by name."""

    settings: Any
    source: str
    given: dict[str, Any]


class Presets:
    """The tables of a file, `[algorithm."environment id"]`, each with its `source` and some settings of the
    algorithm.

    A table is checked when it is asked for. Raises `BadSetting`, naming the table, for one without a source, a setting
    that the algorithm does not have, and a value that cannot be.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def settings(self, algorithm: str, env_id: str, kind: type[Settings]) -> Settings:
        """What the file has for an algorithm, whose settings are of a kind, in an environment; the defaults where it
        has nothing."""
        if env_id not in self._tables.get(algorithm, {}):
            return kind()
        settings: Settings = self._preset(algorithm, env_id, kind).settings
        return settings

    def unless_given(self, given: Settings | None, algorithm: str, env_id: str, kind: type[Settings]) -> Settings:
        """The settings that a learner was given, and where it was given none, those of `settings`.

        Raises `BadSetting` where what it was given is of another kind, too.
        """
        if given is None:
            return self.settings(algorithm, env_id, kind)
        if not isinstance(given, kind):
            name = kind.__name__
            raise BadSetting(
                f"{algorithm} is made with {name}, not with {type(given).__name__}; {name}(total_env_steps=50_000), "
                f"say, would fit."
            )
        return given

    def all_of(self, algorithm: str, kind: type[Any]) -> dict[str, Preset]:
        """All presets of an algorithm by environment id, in the order of the file."""
        return {env_id: self._preset(algorithm, env_id, kind) for env_id in self._tables.get(algorithm, {})}

    def check(self, kinds: Mapping[str, type[Any]]) -> None:
        """Check every table, where `kinds` are all algorithms with what their settings are.

        Raises `BadSetting` for a table of an algorithm that there is none of, too.
        """
        for algorithm in self._tables:
            if algorithm not in kinds:
                close = nearest(algorithm, kinds)
                hint = f"nearest is {close!r}" if close else f"{listed(kinds)} would fit"
                raise BadSetting(f"{self._path.name} [{algorithm}]: there is no algorithm {algorithm!r}; {hint}.")
            self.all_of(algorithm, kinds[algorithm])

    @cached_property
    def _tables(self) -> dict[str, dict[str, Any]]:
        try:
            tables = tomllib.loads(self._path.read_text(encoding="utf-8"))
        except tomllib.TOMLDecodeError as error:
            raise BadSetting(f"{self._path.name} is not TOML: {error}.") from error
        for algorithm, table in tables.items():
            if not isinstance(table, dict):
                raise BadSetting(f"{self._path.name} [{algorithm}]: {table!r} is no table of environments.")
        return tables

    def _preset(self, algorithm: str, env_id: str, kind: type[Any]) -> Preset:
        place = f'{self._path.name} [{algorithm}."{env_id}"]'
        table = self._tables[algorithm][env_id]
        if not isinstance(table, dict):
            raise BadSetting(f"{place}: {table!r} is no table of settings.")
        given = {name: value for name, value in table.items() if name != "source"}
        source = table.get("source")
        if not isinstance(source, str):
            raise BadSetting(f'{place}: it does not say where its values are from; source = "..." would fit.')
        try:
            return Preset(settings_from(kind, given), source, given)
        except BadSetting as error:
            raise BadSetting(f"{place}: {error}") from error


PRESETS = Presets(Path(__file__).with_name("presets.toml"))
