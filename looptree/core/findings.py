"""Findings: every message about a tree that is wired wrongly, with where, what was given, what fits, what to write."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from looptree.core.accesses import Access
from looptree.core.errors import listed, nearest
from looptree.core.hook import PARAMETERS
from looptree.core.names import class_place
from looptree.core.node import ancestry, known_names
from looptree.core.sites import Placed, Site


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a tree of loops, found before its first step.

    `kind` is a short name ("unknown event"), `place` the `file:line` of the cause, `given` what stands there,
    `fits` what would do (with the nearest name), `write` the line to write. `severity` is "error" or "warning".
    """

    kind: str
    place: str
    given: str
    fits: str
    write: str
    severity: str = "error"

    def __str__(self) -> str:
        return f"{self.place}: {self.given} {self.fits}\n    write: {self.write}"


# the tree's shape


def cycle(loop: Any) -> Finding:
    """A loop that is, further down, an inner loop of itself."""
    return Finding(
        "cycle",
        class_place(type(loop)),
        f"{type(loop).__name__} {loop.name!r} is an inner loop of itself, further down.",
        "A tree has no cycles.",
        f"{loop.parent.name}.remove_loop({loop.name})",
    )


def two_places(node: Any) -> Finding:
    """One loop or callback in two places."""
    cls = type(node).__name__
    return Finding(
        "two places",
        class_place(type(node)),
        f"The same {cls} {node.name!r} stands in two places of the tree.",
        "Each place needs an object of its own; one loop may be called on several hooks of one parent instead.",
        f"copy.deepcopy({node.name})",
    )


# signatures


def takes_more(placed: Placed, names: Sequence[str], wrong: Sequence[str]) -> Finding:
    """A hook whose parameters are not self and the four special ones."""
    close = nearest(wrong[0], PARAMETERS) if wrong else None
    kept = ["self", *(f"{name}=..." for name in names if name in PARAMETERS)]
    return Finding(
        "signature",
        placed.place,
        f"{placed.label} takes ({', '.join(names)}).",
        f"A hook takes self and nothing else but {', '.join(PARAMETERS)}, each with a default."
        + (f" Nearest to {wrong[0]!r} is {close!r}." if close else ""),
        f"def {placed.hook.name}({', '.join(kept)}):",
    )


def bad_setting(placed: Placed, name: str, value: str, fits: str, write: str) -> Finding:
    """A special parameter whose default does not fit."""
    return Finding(
        "signature",
        placed.place,
        f"{placed.label} has {name}={value}.",
        f"What fits {name} is {fits}.",
        f"def {placed.hook.name}({', '.join(['self', *([write] if write else [])])}):",
    )


def on_reserved(placed: Placed) -> Finding:
    """An `on_` hook of an event that frames others."""
    return Finding(
        "reserved event",
        placed.place,
        f"{placed.label} stands on what {placed.hook.event!r} frames.",
        f"{placed.hook.event!r} has before_, after_, failed_ and finally_ hooks only.",
        f"def before_{placed.hook.event}(self):",
    )


# places


def placed_nowhere(inner: Any, site: Site) -> Finding:
    """An inner loop without `call_on`."""
    example = f"on_{site.events[0]}" if site.events else "on_pass"
    return Finding(
        "placed nowhere",
        class_place(type(inner)),
        f"{type(inner).__name__} {inner.name!r} is an inner loop of {site.cls}, called on none of its hooks.",
        _events_of(site),
        f"{type(inner).__name__}(call_on={example!r})",
    )


def unknown_call_on(inner: Any, site: Site, name: str) -> Finding:
    """An inner loop called on an event that its parent does not have."""
    possible = [f"{moment}_{event}" for event in site.all_events for moment in ("before", "on", "after")]
    close = nearest(name, possible) or possible[0]
    return Finding(
        "unknown call_on",
        class_place(type(inner)),
        f"{type(inner).__name__} {inner.name!r} is called on {name!r}, which {site.cls} does not have.",
        f"{_events_of(site)} Nearest is {close!r}.",
        f"{type(inner).__name__}(call_on={close!r})",
    )


def unknown_event(placed: Placed, site: Site, subtree: Sequence[Site]) -> Finding:
    """A callback's hook for an event that no loop has where it is plugged in."""
    events = dict.fromkeys(event for each in subtree for event in each.all_events)
    possible = [f"{placed.hook.moment}_{event}" for event in events]
    close = nearest(placed.hook.name, possible) or possible[0]
    return Finding(
        "unknown event",
        placed.place,
        f"{placed.label} is plugged into {site.cls}, where no loop has the event {placed.hook.event!r}.",
        f"Nearest is {close!r}.",
        f"def {close}(self):",
    )


def replaces_nothing(placed: Placed, site: Site, subtree: Sequence[Site]) -> Finding:
    """A replacing hook where no loop has a hook of its name."""
    names = list(dict.fromkeys(own.hook.name for each in subtree for own in each.own))
    close = nearest(placed.hook.name, names)
    fits = f"Nearest is {close!r}." if close else f"The hooks there are {listed(names)}." if names else ""
    return Finding(
        "unknown event",
        placed.place,
        f"{placed.label} would replace a hook of {site.cls} or a loop below, and none has one of that name.",
        fits or "No loop there has hooks.",
        f"def {close or (names or [placed.hook.name])[0]}(self, _replace=True):",
    )


def two_replacers(own: Placed, first: Placed, second: Placed) -> Finding:
    """Two callbacks that replace one hook in the same phase."""
    return Finding(
        "two replacers",
        second.place,
        f"{first.label} ({first.place}) and {second.label} both replace {own.label}.",
        "One hook can be replaced once.",
        f"{second.owner.parent.name}.remove_cb({second.owner.name})",
    )


def unknown_phase(placed: Placed, root: Any, there: Sequence[str]) -> Finding:
    """A `_phase` none of whose names exists where the hook stands."""
    hook = placed.hook
    names = hook.phase if isinstance(hook.phase, tuple) else (str(hook.phase),)
    if there:
        close = nearest(names[0], there) or there[0]
        fits = f"The phases there are {listed(there)}. Nearest is {close!r}."
        write = f"def {hook.name}(self, _phase={close!r}):"
    elif hook.event == "pass":
        fits = "A pass frames all the phases of its loop, and no loop above has phases."
        write = f"def {hook.moment}_phase(self, _phase={hook.phase!r}):"
    else:
        fits = "Neither that loop nor one above it has phases."
        write = f"{type(root).__name__}(phases={names!r})"
    given = f"{placed.label} runs in phase {hook.phase!r}, which does not exist there."
    return Finding("unknown phase", placed.place, given, fits, write)


# fields


def shadowed_field(placed: Placed, access: Access, ancestor: Any, declaring: type) -> Finding:
    """An assignment to a name that an ancestor declares."""
    owner = type(placed.owner).__name__
    return Finding(
        "shadowed field",
        access.place,
        f"{placed.label} sets {access.name!r} on {placed.owner.name}, but {declaring.__name__} declares it"
        f" ({class_place(declaring)}) and would not see the change.",
        f"Name the loop that the field belongs to, or declare {access.name!r} on {owner} too.",
        f"self.{ancestor.name}.{access.name} = ...",
        "warning",
    )


def unknown_field(placed: Placed, access: Access) -> Finding:
    """A read of a field that nobody writes or declares."""
    asked = list(ancestry(access.base))
    close = nearest(access.name, {name for node in asked for name in known_names(node)})
    return Finding(
        "unknown field",
        access.place,
        f"{placed.label} reads {access.name!r}, which nobody writes or declares on"
        f" {_either(node.name for node in asked)}.",
        f"Nearest is {close!r}." if close else "A field is set by a hook or in __init__, or declared on the class.",
        f"self.{close}" if close else f"class {type(access.base).__name__}: {access.name}: float",
        "warning",
    )


def _events_of(site: Site) -> str:
    if not site.events:
        return f"{site.cls} has no events of its own; every loop has 'before_pass', 'on_pass' and 'after_pass'."
    return f"The events of {site.cls} are {listed(site.events)}."


def _either(names: Iterable[str]) -> str:
    return " or ".join(names)
