"""Phase: one of the stretches that a pass of a loop is made of (train, valid, test...)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from looptree.core.errors import BadSetting


@dataclass(frozen=True)
class Phase:
    """A phase of a loop; with `every=5` it runs on the 5th, 10th... pass of the loop's life only."""

    name: str
    every: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise BadSetting(f"A phase is named by a string; given was {self.name!r}. Write Phase('valid').")
        if not isinstance(self.every, int) or self.every < 1:
            raise BadSetting(
                f"Phase({self.name!r}, every={self.every!r}): every counts passes, so 1, 2, 3... would fit."
            )

    def __str__(self) -> str:
        return self.name


Phases = Iterable[str | Phase] | str | Phase


def as_phases(given: Phases | None) -> tuple[Phase, ...]:
    """Phases as they may be given (a name, a Phase, a list of either, None) as a tuple of `Phase`."""
    if given is None:
        return ()
    if not isinstance(given, str | Phase | Iterable):
        raise BadSetting(f"phases={given!r}: names of phases fit. Write phases=('train', 'valid').")
    members = (given,) if isinstance(given, str | Phase) else tuple(given)
    phases = tuple(member if isinstance(member, Phase) else Phase(member) for member in members)
    names = [phase.name for phase in phases]
    for name in names:
        if names.count(name) > 1:
            raise BadSetting(f"phases={tuple(names)!r} has {name!r} more than once; give each phase once.")
    return phases
