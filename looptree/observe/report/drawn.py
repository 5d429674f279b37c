"""Drawn: the pages themselves, from templates in which every text is escaped.

A page says which scripts may run in it, by their digests, and that nothing may be fetched; one that is served may ask
its own server. Were a text from a run ever taken for a script, no browser would run it.
"""

from __future__ import annotations

import base64
import contextlib
import datetime
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from looptree.observe.report import words
from looptree.observe.report.charts import Axis, Chart, axes, charts
from looptree.observe.report.groups import Group, differences, flat, grouped, seed_of, title
from looptree.observe.report.held import SMOOTHED_OVER
from looptree.observe.report.interruptions import Interruption, interruptions, marks
from looptree.observe.report.side_by_side import side_by_side
from looptree.observe.report.timelines import Timeline, timelines
from looptree.observe.report.times import code, slowest, tree
from looptree.observe.runs import Run

_PACKAGE = "looptree.observe.report"

_templates = Environment(
    loader=PackageLoader(_PACKAGE),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.filters |= {
    "number": words.number,
    "time": words.time_of,
    "share": words.share,
    "day": words.day,
}
_templates.globals["counted"] = words.counted


@dataclass(frozen=True)
class Drawing:
    """What a page shows: the template that it is written from, and what stands in it."""

    template: str
    contents: dict[str, Any]

    @property
    def page(self) -> str:
        """The page that is saved: it needs nothing else."""
        return _written(self, scripts=[_asset("page.js"), get_plotlyjs()])

    @property
    def live_page(self) -> str:
        """The page that is served: it asks for its news."""
        return _written(self, scripts=[_asset("live.js"), _asset("page.js"), get_plotlyjs()], is_live=True)

    @cached_property
    def news(self) -> str:
        """The page that is served as it is now, without what never changes in it: its style and its scripts."""
        return _written(self, scripts=[], is_live=True)


def one_run(run: Run) -> Drawing:
    """What there is to show about one run, at one moment of it."""
    with run.still():
        as_of = datetime.datetime.now(datetime.UTC)
        groups, over = [Group(title(run), (run,))], axes([run])
        shown, fields, root, cuts = charts(groups, over), timelines(run, over), tree(run), interruptions(run)
        contents = {
            "as_of": as_of.isoformat(timespec="seconds"),
            "run": _about(run),
            "interruptions": cuts,
            "numbers": _numbers(run, over[0], shown),
            "fields": fields,
            "tree": root,
            "slowest": slowest(root) if root else [],
            "code": code(run),
            "settings": flat(run.settings),
            "versions": flat(run.versions),
        }
    return Drawing("run.html", contents | _drawn(groups, over, shown, fields, cuts))


def comparison(runs: Sequence[Run]) -> Drawing:
    """What there is to show about runs beside each other."""
    with contextlib.ExitStack() as still:
        for run in runs:
            still.enter_context(run.still())
        groups, over = grouped(runs), axes(runs)
        firsts = [group.runs[0] for group in groups]
        contents = {
            "runs": [[_about(run) for run in group.runs] for group in groups],
            "times": side_by_side(groups),
            "settings": differences([flat(run.settings) for run in firsts]),
            "versions": differences([flat(run.versions) for run in firsts]),
        }
        return Drawing("comparison.html", contents | _drawn(groups, over, charts(groups, over), [], []))


def _written(drawing: Drawing, scripts: Sequence[str], is_live: bool = False) -> str:
    return _templates.get_template(drawing.template).render(
        drawing.contents,
        style=Markup(_asset("page.css") if scripts else ""),
        scripts=[Markup(script) for script in scripts],
        allowed=" ".join(f"'sha256-{_digest(script)}'" for script in scripts) or "'none'",
        is_live=is_live,
    )


def _asset(name: str) -> str:
    return resources.files(_PACKAGE).joinpath("templates", name).read_text(encoding="utf-8")


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _drawn(
    groups: Sequence[Group],
    over: Sequence[Axis],
    shown: Sequence[Chart],
    fields: Sequence[Timeline],
    cuts: Sequence[Interruption],
) -> dict[str, Any]:
    """What every page draws."""
    return {
        "groups": groups,
        "axes": over,
        "charts": shown,
        "smoothed_over": SMOOTHED_OVER,
        "data": {
            "axes": {axis.key: {"name": axis.name, "end": words.in_json(axis.end)} for axis in over},
            "marks": marks(cuts, over),
            "charts": [chart.drawn for chart in shown],
            "fields": [field.drawn for field in fields],
        },
    }


def _about(run: Run) -> dict[str, Any]:
    """What is said of a run itself."""
    recorded = ("folder", "loop", "began_at", "ended", "goes_on", "outcome", "passes", "seconds")
    return {name: getattr(run, name) for name in recorded} | {"title": title(run), "seed": seed_of(run)}


def _numbers(run: Run, axis: Axis, shown: Sequence[Chart]) -> list[tuple[str, str, str]]:
    """What one wants to know first: names, numbers, and a word about each."""
    rate = "" if math.isnan(run.steps_per_s) else f"{words.number(run.steps_per_s)} {axis.name} a second"
    ends = [(chart.name, chart.extent) for chart in shown if chart.extent is not None]
    return [
        (axis.name, words.number(axis.end), f"in {words.counted(run.passes, 'pass')}" if axis.key == "steps" else ""),
        ("time", words.time_of(run.seconds), rate),
        *(
            (words.spaced(name), words.number(end.last), f"{words.number(end.low)} to {words.number(end.high)}")
            for name, end in ends
        ),
    ]
