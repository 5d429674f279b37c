"""Rows of a benchmark's table: figures, and the bar that one of them has to keep."""

from dataclasses import asdict, dataclass
from typing import Any

UNITS = {
    "ns": "{:,.0f} ns",
    "times": "{:.2f} x",
    "more_ns": "{:+.0f} ns",
    "ms": "{:.1f} ms",
    "median_ms": "{:.1f} ms",
    "seconds": "{:.2f} s",
    "percent": "{:+.1f} %",
    "modules": "{:.0f}",
    "handles": "{:+.0f}",
    "number": "{:,.0f}",
    "steps_s": "{:,.0f} /s",
    "median_steps_s": "{:,.0f} /s",
    "ratio": "{:.2f} x",
    "share": "{:.2f} %",
    **dict.fromkeys(("kept", "lowest", "highest", "final", "published"), "{:.1f}"),  # returns
}


@dataclass(frozen=True)
class Row:
    """One line of the table: figures by unit, and the most or the least that one of them may be."""

    name: str
    figures: dict[str, float | None]  # None where there is no such figure
    bounded: str | None = None  # the unit that the bar is on
    at_most: float | None = None
    at_least: float | None = None

    @property
    def verdict(self) -> str:
        if self.bounded is None:
            return ""
        figure = self.figures[self.bounded]
        kept = (self.at_most is None or figure <= self.at_most) and (self.at_least is None or figure >= self.at_least)
        return "ok" if kept else "MISS"

    @property
    def bar(self) -> str:
        ends = {"at least": self.at_least, "at most": self.at_most}
        if self.bounded is None:
            return ""
        unit = UNITS[self.bounded]
        return ", ".join(f"{word} {unit.format(end).lstrip('+')}" for word, end in ends.items() if end is not None)

    def __str__(self) -> str:
        figures = [UNITS[unit].format(value) if value is not None else "-" for unit, value in self.figures.items()]
        shown = "".join(f"{figure:>12}" for figure in figures)
        return f"  {self.name:<38}{shown:<36}  {self.bar:<18}{self.verdict}".rstrip()

    def as_data(self) -> dict[str, Any]:
        return asdict(self) | {"verdict": self.verdict}
