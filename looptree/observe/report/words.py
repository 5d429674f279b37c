"""Numbers and times as a page says them."""

from __future__ import annotations

import datetime
import math

from looptree.observe.timing_formats import duration


def number(value: float) -> str:
    """A value in four digits, whole ones in full: `0.07311`, `20,000`."""
    if not math.isfinite(value):
        return "none" if math.isnan(value) else "∞" if value > 0 else "−∞"
    if abs(value) >= 1e15 or 0 < abs(value) < 1e-4:
        return f"{value:.3e}"
    return f"{value:,.0f}" if value == round(value) or abs(value) >= 1e4 else f"{value:,.4g}"


def time_of(seconds: float) -> str:
    """A length of time: `41.2 s`, `12 min 5 s`, `3 h 7 min`."""
    if abs(seconds) < 60:
        return duration(seconds).strip()
    minutes, rest_s = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min" if hours else f"{minutes} min {rest_s} s"


def share(part: float) -> str:
    """A part of a whole, from 0 to 1: `12.3 %`."""
    return f"{100 * part:.1f} %"


def day(moment: str) -> str:
    """A moment in ISO 8601 for people; the text as it is where it is none."""
    try:
        return f"{datetime.datetime.fromisoformat(moment):%d %B %Y, %H:%M %Z}".strip()
    except ValueError:
        return moment


def counted(count: int, what: str) -> str:
    """`1 run`, `3 runs`, `2 passes`."""
    return f"{count:,} {what}" + ("" if count == 1 else "es" if what.endswith("s") else "s")


def spaced(name: str) -> str:
    """The name of a field as words: `env steps`."""
    return name.rpartition(".")[2].replace("_", " ")


def in_json(value: float) -> float | int | None:
    """A number for a drawing, to six digits; whole ones in full; what is not finite as a gap."""
    if not math.isfinite(value):
        return None
    return int(value) if value == round(value) and abs(value) < 2**53 else float(f"{value:.6g}")
