"""Rows of the benchmark's table: figures, and the bar that one of them has to keep."""

from dataclasses import asdict, dataclass
from typing import Any

UNITS = {
    "ns": "{:,.0f} ns",
    "times": "{:.2f} x",
    "more_ns": "{:+.0f} ns",
    "ms": "{:.1f} ms",
    "percent": "{:+.1f} %",
    "modules": "{:.0f}",
}


@dataclass(frozen=True)
class Row:
    """One line of the table: figures by unit, and the most that one of them may be."""

    name: str
    figures: dict[str, float]
    bounded: str | None = None  # the unit that the bar is on
    at_most: float = 0.0

    @property
    def verdict(self) -> str:
        if self.bounded is None:
            return ""
        return "ok" if self.figures[self.bounded] <= self.at_most else "MISS"

    def __str__(self) -> str:
        shown = "".join(f"{UNITS[unit].format(value):>12}" for unit, value in self.figures.items())
        bar = "" if self.bounded is None else "at most " + UNITS[self.bounded].format(self.at_most).lstrip("+")
        return f"  {self.name:<38}{shown:<38}{bar:<18}{self.verdict}".rstrip()

    def as_data(self) -> dict[str, Any]:
        return asdict(self) | {"verdict": self.verdict}
