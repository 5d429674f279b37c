"""Where a field that a callback is told by name lives in the tree."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from looptree.core.errors import BadSetting, NoSuchField, listed, nearest
from looptree.core.node import Forward, Node, ancestry, declared_names

_MISSING = object()


def find_owner(loop: Any, field: str) -> Any:
    """The loop or callback that has `field`, seen from `loop`: the loop itself and those above it are asked first, the
    nearest first, then its callbacks and all below it, then the rest of the tree. `"agent.epsilon"` asks only those
    whose path ends in `agent`.

    Raises `NoSuchField` where nobody has it, `BadSetting` where several below have it and none above.
    """
    where, _, name = field.rpartition(".")
    above = list(ancestry(loop))
    nodes = list(below(above[-1]))
    for group in (*([each] for each in above), list(below(loop)), nodes):
        if owner := _only_owner(group, where, name):
            return owner
    for group in (*([each] for each in above), list(below(loop)), nodes):
        if owner := _only_owner(group, where, name, _written(loop)):
            return owner
    known = {known for node in nodes for known in (*declared_names(type(node)), *_plan_names(loop, node))}
    close = nearest(name, (each for each in known if not each.startswith("_")))
    hint = f" Nearest is {close!r}." if close else ""
    raise NoSuchField(f"No loop or callback of {above[-1].name} has a field {field!r}.{hint}")


def _only_owner(
    nodes: list[Node], where: str, name: str, written: frozenset[tuple[int, str]] = frozenset()
) -> Node | None:
    """The one of some nodes that has the field or, where fields are given by owner, is to have it, if any is."""
    owners = [node for node in nodes if _is_at(node, where) and (_has(node, name) or (id(node), name) in written)]
    if len(owners) > 1:
        paths = [f"{node.path}.{name}" for node in owners]
        raise BadSetting(f"Several have a field {name!r}: {listed(paths)}. Write the one that is meant.")
    return owners[0] if owners else None


def _is_at(node: Node, where: str) -> bool:
    return not where or f".{node.path}".endswith(f".{where}")


def _has(node: Node, name: str) -> bool:
    """Whether a loop or callback has a field itself: declared on its class, or there as an attribute or property."""
    if name in declared_names(type(node)):
        return True
    on_class = inspect.getattr_static(type(node), name, None)
    if isinstance(on_class, Forward):
        return _differs_above(node, name, on_class)
    return not callable(on_class) and not isinstance(getattr(node, name, node), Node)


def _differs_above(node: Node, name: str, forward: Forward) -> bool:
    """Whether a name that the class only reads is found on the object as another value than on its ancestors."""
    value = getattr(node, name, _MISSING)
    try:
        return value is not _MISSING and value is not forward.__get__(node, type(node))
    except NoSuchField:
        return True


def _written(loop: Any) -> frozenset[tuple[int, str]]:
    """The fields that hooks of the tree write, by the owner's id and the name, though they may not be there yet."""
    return frozenset((id(field.target), field.name) for field in loop.root.plan.fields if field.writers)


def _plan_names(loop: Any, node: Node) -> Iterator[str]:
    """The names of a node's fields that hooks of the tree read or write."""
    return (field.name for field in loop.root.plan.fields if field.target is node)


def below(loop: Any) -> Iterator[Node]:
    """A loop, its callbacks, and all loops and callbacks below it."""
    yield loop
    yield from loop.cbs
    for inner in loop.inner_loops:
        yield from below(inner)
