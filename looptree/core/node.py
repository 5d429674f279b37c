"""Node: what loops and callbacks share: a name, a parent, and reads that go on to the ancestors.

A read `self.x` that finds nothing on the object itself goes to the nearest ancestor that has `x`, or that is called
`x`. This must cost nobody anything who does not use it, so there is no `__getattr__`: when a class is made, the names
that its methods read and never write are found in their bytecode, and each gets a `Forward` on the class. An attribute
of the object itself always goes before it.
"""

from __future__ import annotations

import abc
import functools
import inspect
import sys
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Self

from looptree.core.bytecode import accesses
from looptree.core.errors import NoSuchField, nearest
from looptree.core.hook import function_code
from looptree.core.names import class_names, snake_case

_MISSING = object()
_ABC = vars(abc)


class Node:
    """A loop or a callback at its place in the tree.

    The base fields are slots, which leaves the instance's own attributes as quick as those of any plain class.
    """

    __slots__ = ("name", "parent")

    name: str
    parent: Any  # the Loop above; of a callback, the one that it is attached to

    _class_names: ClassVar[frozenset[str]] = frozenset()
    _defined_at: ClassVar[tuple[str, int]] = ("", 0)  # file and line of the class statement

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        node = super().__new__(cls)
        node.name = snake_case(cls.__name__)
        node.parent = None
        return node

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._class_names = class_names(cls)
        cls._defined_at = _class_statement()
        for name in forwarded_names(cls):
            setattr(cls, name, Forward(name))

    @property
    def path(self) -> str:
        """The names from the root down to here, with dots between: `learner.source.agent`."""
        return ".".join([node.name for node in ancestry(self)][::-1])

    def state_dict(self) -> dict[str, Any]:
        """What a later run needs to go on from here: plain containers of arrays, numbers and strings."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave."""


def _class_statement() -> tuple[str, int]:
    """Where the class statement is that is being executed."""
    frame = sys._getframe(2)
    while frame.f_back is not None and (frame.f_code.co_name == "__init_subclass__" or frame.f_globals is _ABC):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno


def ancestry(node: Any) -> Iterator[Any]:
    """A node and those above it, up to the root; a cycle of parents ends where it closes."""
    seen: set[int] = set()
    current = node
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.parent


def is_called(node: Node, name: str) -> bool:
    """Whether a node goes by a name: its own, or the snake-case name of one of its classes."""
    return node.name == name or (name in node._class_names and name not in ("node", "object"))


class Forward:
    """Reads one name on the nearest ancestor that has it or is called by it; no data descriptor, so the object's own
    attribute goes first."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, node: Any, cls: type) -> Any:
        if node is None:
            return self
        name = self.name
        ancestor = node.parent
        while ancestor is not None:
            value = getattr(ancestor, name, _MISSING)
            if value is not _MISSING:
                return value
            if ancestor.name == name or name in ancestor._class_names:
                return ancestor
            if isinstance(getattr(type(ancestor), name, None), Forward):
                break  # which has asked all those further up
            ancestor = ancestor.parent
        for above in ancestry(node.parent):
            if isinstance(getattr(type(above), name, None), property | functools.cached_property):
                return getattr(above, name)  # it failed with an AttributeError of its own, which says what is missing
        raise NoSuchField(functools.partial(self._explain, node))

    def _explain(self, node: Node) -> str:
        above = list(ancestry(node))[1:]
        for member in (node, *above):
            if self.name in set_names(type(member)):
                return (
                    f"{self.name!r} has no value yet for {type(node).__name__} {node.name!r}: {type(member).__name__}"
                    " declares or sets it, and has not done so before this read. Set it earlier, or read it later."
                )
        where = (
            f"nor has a loop above it ({', '.join(loop.name for loop in above)})" if above else "and it has no parent"
        )
        known = {name for member in (node, *above) for name in known_names(member)}
        close = nearest(self.name, known)
        hint = f" Nearest is {close!r}." if close else ""
        return f"{type(node).__name__} {node.name!r} has no field {self.name!r}, {where}.{hint}"


def own_classes(cls: type) -> list[type]:
    """The classes of a node's class that hold its author's code: all but looptree's base and `object`."""
    return [base for base in cls.__mro__ if base is not object and base.__module__ not in _BASES]


_BASES = ("looptree.core.node", "looptree.core.loop", "looptree.core.callback", "typing", "abc")


def kept_names(cls: type) -> frozenset[str]:
    """The names that looptree's base classes of a node keep for themselves: slots, and all that begins with `_`."""
    return _kept_by(tuple(base for base in cls.__mro__ if base.__module__ in _BASES))


@functools.cache
def _kept_by(bases: tuple[type, ...]) -> frozenset[str]:
    found = {name: value for base in bases for name, value in vars(base).items() if hasattr(value, "__get__")}
    private = {name for name in found if name.startswith("_") and not name.endswith("_")}
    return frozenset(private.union(name for name in found if inspect.ismemberdescriptor(found[name])))


def methods(cls: type) -> dict[str, Callable[..., Any]]:
    """The functions of a class by name, properties' included, the most derived first."""
    found: dict[str, Callable[..., Any]] = {}
    for base in own_classes(cls):
        for name, value in vars(base).items():
            function = method_function(value)
            if function is not None:
                found.setdefault(name, function)
    return found


def method_function(value: Any) -> Callable[..., Any] | None:
    """The function of self behind a class attribute: itself, or a property's getter; None for anything else."""
    if isinstance(value, property):
        value = value.fget
    elif isinstance(value, functools.cached_property):
        value = value.func
    elif isinstance(value, staticmethod):
        return None  # its first argument is no self
    unwrapped = inspect.unwrap(value) if callable(value) else None
    return value if inspect.isfunction(unwrapped) else None


def declared_names(cls: type) -> dict[str, type]:
    """The fields that the class annotations of a node's own classes declare, with the class that does."""
    declared: dict[str, type] = {}
    for base in reversed(own_classes(cls)):
        for name in vars(base).get("__annotations__", {}):
            declared[name] = base
    return declared


def accessed_names(cls: type) -> tuple[set[str], set[str]]:
    """The names that the methods of a class read on `self`, and those that they write."""
    reads: set[str] = set()
    writes: set[str] = set()
    for base in own_classes(cls):
        values = [part for value in vars(base).values() for part in _parts(value)]
        for function in filter(None, map(method_function, values)):
            found = accesses(function_code(function))
            reads |= {path[0] for path in found.reads}
            writes |= {path[0] for path in found.writes if len(path) == 1}
    return reads, writes


def _parts(value: Any) -> tuple[Any, ...]:
    """A class attribute, or the three functions of a property."""
    return (value.fget, value.fset, value.fdel) if isinstance(value, property) else (value,)


def forwarded_names(cls: type) -> set[str]:
    """The names that a class reads and neither writes, declares nor defines."""
    reads, writes = accessed_names(cls)
    candidates = reads - writes - set(declared_names(cls))
    return {name for name in candidates if not hasattr(cls, name) and not name.startswith("__")}


def set_names(cls: type) -> set[str]:
    """The names that a class writes or declares."""
    _, writes = accessed_names(cls)
    return writes | set(declared_names(cls))


def known_names(node: Node) -> set[str]:
    """The public names that a node can be asked for, as far as its classes tell, for a 'nearest' in a message."""
    defined = {name for name in dir(type(node)) if not isinstance(getattr(type(node), name, None), Forward)}
    held = {each.name for each in (*getattr(node, "inner_loops", ()), *getattr(node, "cbs", ()))}
    names = set_names(type(node)) | defined | held
    return {name for name in names if not name.startswith("_")}
