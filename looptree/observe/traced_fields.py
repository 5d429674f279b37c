"""Which fields of a tree a trace watches, and how a field is read without reading an ancestor's of the same name."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

from looptree.core.callback import Callback
from looptree.core.errors import NoSuchField, nearest
from looptree.core.loop import Loop
from looptree.core.node import Forward, Node
from looptree.core.plan import LoopPlan
from looptree.observe.digest import UNSET


def known_fields(plan: LoopPlan, loop: Loop, names: Iterable[str]) -> list[tuple[str, Any, str]]:
    """The fields that a trace watches in a tree: full name, owner, name. Without names, all that the plan knows."""
    nodes = [node for each in plan.walk() for node in (each.target, *each.target.cbs) if _is_below(node, loop)]
    ids = {id(node) for node in nodes}
    found: dict[str, tuple[str, Any, str]] = {}
    for field in plan.fields:
        full_name = f"{field.owner}.{field.name}"
        if id(field.target) not in ids:
            continue
        exists = field.declared or field.writers or _has_own(field.target, field.name)
        wanted = any(is_called(full_name, name) for name in names) if names else not _is_base(field.name)
        if exists and wanted and not _is_something_else(field.target, field.name):
            found[full_name] = (full_name, field.target, field.name)
    for name in names:
        last = name.rpartition(".")[2]
        for node in nodes:
            full_name = f"{node.path}.{last}"
            if full_name in found or not is_called(full_name, name) or _is_something_else(node, last):
                continue
            if _has_own(node, last):
                found[full_name] = (full_name, node, last)
    return list(found.values())


def check_known(names: Iterable[str], loop: Loop) -> None:
    """Raise `NoSuchField` for a name that no loop or callback from `loop` down has."""
    plan = loop.root.plan
    for name in names:
        if not known_fields(plan, loop, (name,)):
            every = [full_name for full_name, _, _ in known_fields(plan, loop, ())]
            close = nearest_field(name, every)
            hint = f" Nearest is {close!r}." if close else ""
            raise NoSuchField(f"No loop or callback of {loop.path} has a field {name!r}.{hint}")


def nearest_field(name: str, full_names: Iterable[str]) -> str | None:
    """The public field that a name comes nearest to, by its path or its name alone."""
    last = {full_name: full_name.rpartition(".")[2] for full_name in full_names}
    public = [full_name for full_name in last if not last[full_name].startswith("_")]
    return nearest(name, [*public, *(last[full_name] for full_name in public)])


def is_called(full_name: str, name: str) -> bool:
    """Whether a path is called by a name: the whole of it, or its end."""
    return f".{full_name}".endswith(f".{name}")


def called(name: str, full_names: Iterable[str]) -> list[str]:
    """Those of some paths that are called by a name: one that is the name itself, or those that end in it."""
    found = [full_name for full_name in full_names if is_called(full_name, name)]
    return [name] if name in found else found


def _is_below(node: Node, loop: Loop) -> bool:
    return f"{node.path}.".startswith(f"{loop.path}.")


def _is_base(name: str) -> bool:
    """Whether every loop or callback has something of that name."""
    return hasattr(Loop, name) or hasattr(Callback, name)


def _is_something_else(node: Any, name: str) -> bool:
    """Whether an attribute is worked out by a property, is a method, or is another loop or callback."""
    found = inspect.getattr_static(type(node), name, None)
    return isinstance(found, property) or callable(found) or isinstance(getattr(node, name, None), Node)


def _has_own(node: Any, name: str) -> bool:
    """Whether a node itself, not an ancestor, has an attribute."""
    return own_value(node, name, forward_of(node, name)) is not UNSET


def forward_of(node: Any, name: str) -> Forward | None:
    """What makes reads of a name go on to the ancestors, where the class of a node has that."""
    found = inspect.getattr_static(type(node), name, None)
    return found if isinstance(found, Forward) else None


def own_value(node: Any, name: str, forward: Forward | None) -> Any:
    """The value of a node's own field; UNSET where it has none, and a read goes on to an ancestor."""
    value = getattr(node, name, UNSET)
    if forward is None or value is UNSET:
        return value
    try:
        above = forward.__get__(node, type(node))
    except NoSuchField:
        return value
    return UNSET if value is above else value
