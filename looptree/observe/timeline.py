"""Timeline: single calls of a Profile as a Chrome trace and as a speedscope profile."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Slice:
    """One call of a hook or one run of a loop, from `began_ns` to `ended_ns` after the first that was kept."""

    name: str
    kind: str
    path: str
    place: str
    began_ns: int
    ended_ns: int


def chrome_trace(slices: Iterable[Slice], title: str, dropped: int) -> str:
    """The JSON that Perfetto (ui.perfetto.dev) and chrome://tracing open: complete events, in microseconds."""
    named = [
        {"name": "process_name", "ph": "M", "pid": 1, "tid": 1, "args": {"name": "looptree"}},
        {"name": "thread_name", "ph": "M", "pid": 1, "tid": 1, "args": {"name": title}},
    ]
    events = [
        {
            "name": each.name,
            "cat": each.kind,
            "ph": "X",
            "ts": each.began_ns / 1000,
            "dur": (each.ended_ns - each.began_ns) / 1000,
            "pid": 1,
            "tid": 1,
            "args": {"path": each.path, "place": each.place},
        }
        for each in slices
    ]
    trace = {"traceEvents": [*named, *events], "displayTimeUnit": "ms", "otherData": {"dropped_calls": dropped}}
    return json.dumps(trace, ensure_ascii=False) + "\n"


def speedscope(slices: Iterable[Slice], title: str) -> str:
    """The JSON that speedscope (speedscope.app) opens: one evented profile, in nanoseconds."""
    frames: dict[tuple[str, str], int] = {}
    events: list[dict[str, Any]] = []
    for opens, each, at_ns in _steps(slices):
        frame = frames.setdefault((each.name, each.place), len(frames))
        events.append({"type": "O" if opens else "C", "frame": frame, "at": at_ns})
    profile = {
        "type": "evented",
        "name": title,
        "unit": "nanoseconds",
        "startValue": 0,
        "endValue": events[-1]["at"] if events else 0,
        "events": events,
    }
    document = {
        "$schema": "https://www.speedscope.app/file-format-schema.json",
        "exporter": "looptree",
        "name": title,
        "activeProfileIndex": 0,
        "shared": {"frames": [_frame(name, place) for name, place in frames]},
        "profiles": [profile],
    }
    return json.dumps(document, ensure_ascii=False) + "\n"


def _steps(slices: Iterable[Slice]) -> Iterator[tuple[bool, Slice, int]]:
    """Slices that hold each other as openings and closings in the order of time."""
    open_slices: list[Slice] = []
    for each in slices:
        while open_slices and open_slices[-1].ended_ns <= each.began_ns:
            closed = open_slices.pop()
            yield False, closed, closed.ended_ns
        open_slices.append(each)
        yield True, each, each.began_ns
    while open_slices:
        closed = open_slices.pop()
        yield False, closed, closed.ended_ns


def _frame(name: str, place: str) -> dict[str, Any]:
    file, _, line = place.rpartition(":")
    return {"name": name, "file": file, "line": int(line)} if line.isdigit() else {"name": name, "file": place}
