"""Findings: every message about a tree that is wired wrongly, with where, what was given, what fits, what to write."""

from __future__ import annotations

import inspect
import keyword
import re
from collections.abc import Sequence
from dataclasses import dataclass
from inspect import Parameter
from typing import Any

from looptree.core.accesses import Access, asked
from looptree.core.errors import BadSetting, listed, nearest
from looptree.core.hook import MOMENTS, PARAMETERS, RESERVED_EVENTS
from looptree.core.names import class_place
from looptree.core.node import ancestry, known_names
from looptree.core.phase import as_phases
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
    holder = next(each for each in loop._loops() if any(inner is loop for inner in each.inner_loops))
    return Finding(
        "cycle",
        class_place(type(loop)),
        f"{type(loop).__name__} {loop.name!r} is an inner loop of itself, further down.",
        "A tree has no cycles.",
        f"{holder.name}.remove_loop({loop.name})",
    )


def two_places(node: Any) -> Finding:
    """One loop or callback in two places."""
    instead = "; one loop may be called on several hooks of one parent" if hasattr(node, "call_on") else ""
    return Finding(
        "two places",
        class_place(type(node)),
        f"The same {type(node).__name__} {node.name!r} stands in two places.",
        f"Each place needs an object of its own{instead}.",
        f"copy.deepcopy({node.name})",
    )


def not_added(node: Any, loop: Any, method: str) -> Finding:
    """A loop or callback that was put into the list of a loop, and knows nothing of that loop."""
    return Finding(
        "not added",
        class_place(type(node)),
        f"{type(node).__name__} {node.name!r} stands in a list of {loop.path} without having been added.",
        f"Instead of the list, {method} takes it, and tells it where it is.",
        f"{loop.path}.{method}({node.name})",
    )


def unfit_name(node: Any, error: BadSetting) -> Finding:
    """A name, given by a class or set by hand, that can be no attribute."""
    word = re.sub(r"\W+", "_", str(node.name)).strip("_")
    kind = "loop" if hasattr(node, "call_on") else "callback"
    fitting = word if word.isidentifier() and not keyword.iskeyword(word) else f"{kind}_{word}".rstrip("_")
    return _unfit(node, error, f"self.name = {fitting!r}  # in {type(node).__name__}.__init__")


def unfit_times(loop: Any, error: BadSetting) -> Finding:
    """A number of passes, given by a class or set by hand, that is none."""
    return _unfit(loop, error, f"times = 1  # in {type(loop).__name__}")


def _unfit(node: Any, error: BadSetting, write: str) -> Finding:
    given, _, fits = str(error).rpartition(": ")
    said = f"{type(node).__name__} {node.name!r} has {given}."
    return Finding("bad setting", class_place(type(node)), said, fits[0].upper() + fits[1:], write)


# signatures


def reserved_name(cls: type, name: str) -> Finding:
    """A name of looptree's own that a class takes for something else."""
    instead = {"name": "self.name = ...", "cbs": "self.add_cb(...)", "inner_loops": "self.add_loop(...)"}.get(name)
    return Finding(
        "reserved name",
        class_place(cls),
        f"{cls.__name__} takes the name {name!r}, under which looptree keeps something of its own.",
        "Its __init__ can set that on each instance." if instead else "Give it another name.",
        f"{instead}  # in {cls.__name__}.__init__" if instead else f"own_{name.lstrip('_')} = ...",
    )


def no_function(placed: Placed) -> Finding:
    """A hook that is something else that can be called, to which Python would not hand self."""
    owner, function = type(placed.owner), placed.hook.function
    return Finding(
        "signature",
        class_place(owner),
        f"{placed.label} is {function!r}, which is no function.",
        "A hook is a function of self, which may call it.",
        f"def {placed.hook.name}(self):",
    )


def takes_more(placed: Placed, names: Sequence[str], wrong: Sequence[str]) -> Finding:
    """A hook whose parameters are not self and the four special ones."""
    parameters = inspect.signature(placed.hook.function).parameters
    shown = [str(parameters[name].replace(annotation=Parameter.empty)) for name in names]
    single = [name for name in wrong if parameters[name].kind not in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)]
    meant = {name: close for name in single if (close := nearest(name, PARAMETERS)) is not None}
    return Finding(
        "signature",
        placed.place,
        f"{placed.label} takes ({', '.join(shown)}).",
        f"A hook takes self and nothing else but {', '.join(PARAMETERS)}, each with a default."
        + "".join(f" Nearest to {name!r} is {close!r}." for name, close in meant.items()),
        _definition(placed, **{close: _default(parameters[name]) for name, close in meant.items()}),
    )


def would_not_run(placed: Placed) -> Finding:
    """A hook of which a call would only make a generator or a coroutine."""
    return Finding(
        "signature",
        placed.place,
        f"{placed.label} is a generator or coroutine, so that calling it runs none of its lines.",
        "A hook is a plain function, without yield, async and await.",
        _definition(placed),
    )


def bad_setting(placed: Placed, name: str, value: str, fits: str, write: str) -> Finding:
    """A special parameter whose default does not fit."""
    return Finding(
        "signature",
        placed.place,
        f"{placed.label} has {name}={value}.",
        f"What fits {name} is {fits}" + ("" if fits.endswith(".") else "."),
        _definition(placed, **{name: write.partition("=")[2] or None}),
    )


def on_reserved(placed: Placed) -> Finding:
    """An `on_` hook of an event that frames others."""
    event = str(placed.hook.event)
    framed = {"run": "all passes of the loop", "pass": "all of a pass", "phase": "all events of a phase"}[event]
    return Finding(
        "reserved event",
        placed.place,
        f"{placed.label} has no place: between its before_ and after_ hooks, {event!r} runs {framed}.",
        f"{event!r} has before_, after_, failed_ and finally_ hooks.",
        _definition(placed, f"before_{event}"),
    )


# places


def placed_nowhere(inner: Any, site: Site) -> Finding:
    """An inner loop without `call_on`."""
    example = f"on_{site.events[0]}" if site.events else "on_pass"
    return Finding(
        "placed nowhere",
        class_place(type(inner)),
        f"{type(inner).__name__} {inner.name!r} is an inner loop of {site.cls} without call_on, so nothing calls it.",
        _events_of(site),
        f"{type(inner).__name__}(call_on={example!r})",
    )


def unknown_call_on(inner: Any, site: Site, name: str) -> Finding:
    """An inner loop called on an event that its parent does not have."""
    possible = [f"{moment}_{event}" for event in site.all_events for moment in MOMENTS]
    close = nearest(name, possible)
    fallback = f"on_{site.all_events[0]}" if site.events else "on_pass"
    fitting = dict.fromkeys(
        each if each in possible else nearest(each, possible) or fallback for each in inner.call_names()
    )
    call_on = next(iter(fitting)) if len(fitting) == 1 else tuple(fitting)
    return Finding(
        "unknown call_on",
        class_place(type(inner)),
        f"{type(inner).__name__} {inner.name!r} is called on {name!r}, which is no moment of an event of {site.cls}.",
        _events_of(site) + (f" Nearest is {close!r}." if close else ""),
        f"{type(inner).__name__}(call_on={call_on!r})",
    )


def unknown_event(placed: Placed, site: Site, subtree: Sequence[Site]) -> Finding:
    """A callback's hook for an event that no loop has where it is plugged in."""
    event = str(placed.hook.event)
    possible = list(dict.fromkeys(event for each in subtree for event in each.all_events))
    close = nearest(event, possible)
    which = "where no loop has the" if len(subtree) > 1 else "which has no"
    fits = f"Nearest is {close!r}." if close else _all("event", "there", possible)
    instead = close or possible[0]
    moment = "before" if placed.hook.moment == "on" and instead in RESERVED_EVENTS else placed.hook.moment
    return Finding(
        "unknown event",
        placed.place,
        f"{placed.label} is plugged into {site.cls}, {which} event {event!r}.",
        fits,
        _definition(placed, f"{moment}_{instead}"),
    )


def unknown_moment(placed: Placed, meant: str) -> Finding:
    """A method that is all but called like a hook."""
    return Finding(
        "unknown moment",
        placed.place,
        f"{placed.label} is no hook, so that no loop calls it.",
        f"Nearest is {meant!r}.",
        _definition(placed, meant),
        "warning",
    )


def replaces_nothing(placed: Placed, site: Site, subtree: Sequence[Site]) -> Finding:
    """A replacing hook where no loop has a hook of its name."""
    names = list(dict.fromkeys(own.hook.name for each in subtree for own in each.own))
    close = nearest(placed.hook.name, names)
    below = "or of a loop below, and none has one" if len(subtree) > 1 else "which has none"
    fits = f"Nearest is {close!r}." if close else _all("hook", "there", names) if names else ""
    return Finding(
        "unknown event",
        placed.place,
        f"{placed.label} would replace a hook of {site.cls}, {below} of that name.",
        fits or "There are no hooks to replace.",
        _definition(placed, close or names[0]) if names else _definition(placed, "before_pass", _replace=None),
    )


def two_replacers(own: Placed, first: Placed, second: Placed) -> Finding:
    """Two callbacks that replace one hook in the same phase."""
    return Finding(
        "two replacers",
        second.place,
        f"{first.label} ({first.place}) and {second.label} both replace {own.label}.",
        "One hook can be replaced once.",
        f"{second.owner.parent.path}.remove_cb({second.owner.path})",
    )


def unknown_phase(placed: Placed, root: Any, there: Sequence[str]) -> Finding:
    """A `_phase` none of whose names exists where the hook stands."""
    hook = placed.hook
    names = hook.phase if isinstance(hook.phase, tuple) else (str(hook.phase),)
    loop = placed.owner if hasattr(placed.owner, "inner_loops") else placed.owner.parent
    framed = [phase.name for phase in as_phases(loop.phases)] if hook.event in ("run", "pass") else []
    close = next(filter(None, (nearest(name, there or framed) for name in names)), None)
    hint = f" Nearest is {close!r}." if close else ""
    if there:
        fits = _all("phase", "there", there) + hint
        write = _definition(placed, _phase=repr(close or there[0]))
    elif framed:
        fits = f"A {hook.event} frames all phases of its loop, which are {listed(framed)}.{hint}"
        write = _definition(placed, f"{hook.moment}_phase", _phase=repr(close or framed[0]))
    else:
        fits = "Neither that loop nor one above it has phases."
        write = f"{type(root).__name__}(phases={names!r})"
    return Finding(
        "unknown phase",
        placed.place,
        f"{placed.label} runs in phase {' or '.join(map(repr, names))}, which does not exist there.",
        fits,
        write,
    )


def idle_phase(placed: Placed, site: Site, idle: Sequence[str], busy: Sequence[str]) -> Finding:
    """A callback's hook without `_phase` on an event on which the loop itself does something in some phases only."""
    event = str(placed.hook.event)
    return Finding(
        "idle phase",
        placed.place,
        f"{placed.label} runs in {'phase' if len(idle) == 1 else 'phases'} {listed(idle)} too, where {site.cls} does"
        f" nothing on {event!r}.",
        _all("phase", "in which it does", busy),
        _definition(placed, _phase=repr(busy[0] if len(busy) == 1 else tuple(busy))),
        "warning",
    )


# fields


def reserved_field(placed: Placed, access: Access) -> Finding:
    """An assignment to a field that the engine keeps on every loop."""
    return Finding(
        "reserved field",
        access.place,
        f"{placed.label} sets {access.name!r} on {access.base.name}, where looptree itself keeps it.",
        "Give the field another name.",
        f"self.own_{access.name} = ...",
        "warning",
    )


def shadowed_field(placed: Placed, access: Access, ancestor: Any, declaring: type) -> Finding:
    """An assignment to a name that an ancestor declares."""
    return Finding(
        "shadowed field",
        access.place,
        f"{placed.label} sets {access.name!r} on {placed.owner.name!r}, but {declaring.__name__}"
        f" ({class_place(declaring)}) declares it for {ancestor.name!r}, which would not see the change.",
        f"Name the loop that the field belongs to, or declare {access.name!r} in {type(placed.owner).__name__} too.",
        f"self.{ancestor.name}.{access.name} = ...",
        "warning",
    )


def unknown_field(placed: Placed, access: Access) -> Finding:
    """A read of a field that nobody who is asked for it writes or declares."""
    name, nodes = access.name, asked(access.base, access.name)
    *nearer, last = [repr(node.name) for node in nodes]
    above = next((node for node in ancestry(access.base) if node not in nodes and name in known_names(node)), None)
    close = nearest(name, {known for node in nodes for known in known_names(node)})
    if above is not None:
        fits, write = f"{above.name!r} has it.", f"{_from_self(placed.owner, above)}.{name}"
    elif close is not None:
        fits, write = f"Nearest is {close!r}.", f"{_from_self(placed.owner, access.base)}.{close}"
    else:
        fits = "A field is set by a hook or in __init__, or declared in the class."
        write = f"self.{name} = ...  # in {type(access.base).__name__}.__init__"
    return Finding(
        "unknown field",
        access.place,
        f"{placed.label} reads {name!r}, which nobody sets or declares on"
        f" {', '.join(nearer)}{' or ' if nearer else ''}{last}.",
        fits,
        write,
        "warning",
    )


def _events_of(site: Site) -> str:
    if not site.events:
        return f"{site.cls} has no events of its own; every loop has 'before_pass', 'on_pass' and 'after_pass'."
    return _all("event", f"of {site.cls}", site.events)


def _all(noun: str, where: str, names: Sequence[str]) -> str:
    """The names of all there are, in a sentence."""
    return f"The {noun} {where} is {names[0]!r}." if len(names) == 1 else f"The {noun}s {where} are {listed(names)}."


def _definition(placed: Placed, name: str | None = None, **changes: str | None) -> str:
    """The first line of a hook as its signature has it, with another name, other defaults or (None) without some."""
    parameters = inspect.signature(placed.hook.function).parameters
    settings = {each: _default(parameters[each]) for each in parameters if each in PARAMETERS} | changes
    written = [f"{each}={default}" for each, default in settings.items() if default is not None]
    return f"def {name or placed.hook.name}({', '.join(['self', *written])}):"


def _default(parameter: Parameter) -> str | None:
    return None if parameter.default is Parameter.empty else repr(parameter.default)


def _from_self(node: Any, other: Any) -> str:
    """How a hook of `node` names another node of its tree."""
    above = list(ancestry(node))
    names: list[str] = []
    while other is not None and not any(other is each for each in above):
        names.insert(0, other.name)
        other = other.parent
    return ".".join(["self", *([other.name] if other is not None and other is not node else []), *names])
