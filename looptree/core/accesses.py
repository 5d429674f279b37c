"""Which fields of which loops and callbacks a hook reads and writes: bytecode, resolved in the tree.

A path found in a hook (`self.learner.loss`) is walked from the hook's owner; methods and properties that it reaches on
the way are read too. The last name of a path is a field, owned by the loop or callback that the path led to, or by the
nearest ancestor that has it.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import CodeType, FunctionType, ModuleType
from typing import Any

from looptree.core.bytecode import Path, accesses
from looptree.core.hook import function_code
from looptree.core.names import short_path
from looptree.core.node import (
    Forward,
    Node,
    ancestry,
    declared_names,
    is_called,
    method_function,
    own_classes,
)

_MISSING = object()


@dataclass(frozen=True)
class Access:
    """A field read or written at a line: `base` is the loop or callback that was asked, `owner` the one that has it."""

    kind: str
    base: Node
    name: str
    owner: Node | None
    place: str

    def __str__(self) -> str:
        return f"{(self.owner or self.base).path}.{self.name}"


class Scope:
    """What is known of the fields of one tree while it is bound."""

    def __init__(self, nodes: Iterable[Node], bound_loops: Mapping[int, list[Node]]) -> None:
        self.nodes = list(nodes)
        self.bound_loops = bound_loops  # by the id of a callback, the loops whose hooks its own stand among
        self._fields: dict[int, frozenset[str]] = {}
        self._class_fields: dict[type, frozenset[str]] = {}
        self._own_values: dict[tuple[int, str], Any] = {}
        self.mentioned = frozenset(self._mentioned())

    def _mentioned(self) -> Iterator[str]:
        """Names of what may become a field in ways that are not followed: attributes that somebody sets on something,
        functions that are given a loop included, and names in strings, those in fields included."""
        functions: dict[CodeType, FunctionType] = {}
        for cls in {type(node) for node in self.nodes}:
            for value in (value for base in own_classes(cls) for value in vars(base).values()):
                for function in _functions_of(value):
                    _gather_called(function, functions)
        for code in functions:
            yield from accesses(code).stored
            yield from accesses(code).strings
        for node in self.nodes:
            for name in self.class_fields(type(node)):
                yield from _strings_in(self.own_value(node, name))

    def has_field(self, node: Node, name: str) -> bool:
        """Whether a loop or callback itself has a field: as an attribute, written by its methods, or declared."""
        return name in self.class_fields(type(node)) or self.own_value(node, name) is not _MISSING

    def own_value(self, node: Node, name: str) -> Any:
        """An attribute that is a node's own; kept, since fields are asked for again and again."""
        key = (id(node), name)
        if key not in self._own_values:
            self._own_values[key] = own_value(node, name)
        return self._own_values[key]

    def class_fields(self, cls: type) -> frozenset[str]:
        """The fields that a class declares or that its methods write."""
        if cls not in self._class_fields:
            values = [value for base in own_classes(cls) for value in vars(base).values()]
            methods = [value for value in values if not isinstance(value, staticmethod)]
            functions = [function for method in methods for function in _functions_of(method)]
            paths = [path for function in functions for path in accesses(function.__code__).writes]
            written = {path[0] for path in paths if len(path) == 1}
            self._class_fields[cls] = frozenset(written | set(declared_names(cls)))
        return self._class_fields[cls]

    def owner(self, base: Node, name: str) -> Node | None:
        """The nearest of the nodes that are asked for a field and have it; None where nobody has."""
        return next((node for node in asked(base, name) if self.has_field(node, name)), None)


def asked(node: Node, name: str) -> list[Node]:
    """Who is asked when a name is read on a node: itself, and those above it if its class hands that name on."""
    return list(ancestry(node)) if isinstance(_class_attribute(type(node), name), Forward) else [node]


def own_value(node: Node, name: str) -> Any:
    """An attribute of a node that is its own and not an ancestor's, without running properties."""
    for cls in type(node).__mro__:
        if name in vars(cls):
            value = vars(cls)[name]
            if isinstance(value, Forward):
                break
            return value
    else:
        return getattr(node, name, _MISSING)
    above = list(ancestry(node))[1:]
    if any(_is_computed(type(ancestor), name) for ancestor in above):
        return _MISSING
    value = getattr(node, name, _MISSING)
    is_above = any(value is ancestor or value is getattr(ancestor, name, _MISSING) for ancestor in above)
    return _MISSING if is_above else value


def _is_computed(cls: type, name: str) -> bool:
    """Whether a class answers for a name with a method, property or the like."""
    value = _class_attribute(cls, name)
    return hasattr(type(value), "__get__") and not isinstance(value, Forward)


def _class_attribute(cls: type, name: str) -> Any:
    return next((vars(base)[name] for base in cls.__mro__ if name in vars(base)), None)


def function_accesses(scope: Scope, node: Node, name: str, function: Callable[..., Any]) -> list[Access]:
    """The fields that a method of a node reads and writes, through the methods that it calls."""
    found: dict[tuple[str, int, str], Access] = {}
    for access in _follow(scope, node, name, function, set()):
        found.setdefault((access.kind, id(access.base), access.name), access)
    return list(found.values())


def _follow(
    scope: Scope, node: Node, name: str, function: Callable[..., Any], seen: set[tuple[int, Any]]
) -> Iterator[Access]:
    code = function_code(function)
    if (id(node), code) in seen:
        return
    seen.add((id(node), code))
    found = accesses(code)
    filename = short_path(code.co_filename)
    for kind, paths in (("read", found.reads), ("write", found.writes)):
        for path, line in paths.items():
            place = f"{filename}:{line}"
            led = [
                list(_last_name(scope, kind, base, path[-1], place, seen)) for base in led_to(scope, node, path[:-1])
            ]
            # `self.loop` is one of several loops: what one of them has, the hook may well ask only that one for.
            known = any(all(access.owner is not None for access in each) for each in led)
            yield from (access for each in led for access in each if access.owner is not None or not known)
    for called in found.supers:
        inherited = _super_method(type(node), code, called)
        if inherited is not None:
            yield from _follow(scope, node, called, inherited, seen)


def _last_name(
    scope: Scope, kind: str, base: Node, name: str, place: str, seen: set[tuple[int, Any]]
) -> Iterator[Access]:
    if led_to(scope, base, (name,)) or name.startswith("__"):
        return
    owner = scope.owner(base, name) if kind == "read" else base
    holder = type(owner or base)
    value = _class_attribute(holder, name)
    function = _accessor(value) if kind == "write" else method_function(value)
    if isinstance(value, staticmethod | classmethod):
        return
    if function is None:
        yield Access(kind, base, name, owner, place)
    elif any(name in vars(cls) for cls in own_classes(holder)):
        yield from _follow(scope, owner or base, name, function, seen)


def _accessor(value: Any) -> Callable[..., Any] | None:
    """The function that an assignment calls: a property's setter."""
    return value.fset if isinstance(value, property) else None


def _super_method(cls: type, caller: Any, name: str) -> Callable[..., Any] | None:
    """The method that `super().name` means in the function with code `caller`, for an object of class `cls`."""
    classes = own_classes(cls)
    for place, base in enumerate(classes):
        defined = [method_function(value) for value in vars(base).values()]
        if any(function is not None and function_code(function) is caller for function in defined):
            for above in classes[place + 1 :]:
                if name in vars(above):
                    return method_function(vars(above)[name])
    return None


def led_to(scope: Scope, node: Node, path: Path) -> list[Node]:
    """The loops and callbacks that a path of names leads to from a node; none where it leads out of the tree."""
    reached = [node]
    for name in path:
        reached = [further for each in reached for further in _neighbours(scope, each, name)]
    return reached


def _neighbours(scope: Scope, node: Node, name: str) -> list[Node]:
    if name == "loop":
        return scope.bound_loops.get(id(node), [node])
    if name == "parent":
        return [node.parent] if node.parent is not None else []
    if name == "root":
        return [list(ancestry(node))[-1]]
    for each in ancestry(node):
        value = scope.own_value(each, name)
        if isinstance(value, Node):
            return [value]
        if each is not node and is_called(each, name):
            return [each]
        if value is not _MISSING:
            return []
    return []


def _functions_of(value: Any) -> list[FunctionType]:
    """The functions behind a class attribute, as far as they are written in Python."""
    parts: list[Any] = [value]
    if isinstance(value, property):
        parts = [value.fget, value.fset, value.fdel]
    elif isinstance(value, functools.cached_property | functools.partialmethod):
        parts = [value.func]
    return [plain for part in parts if isinstance(plain := inspect.unwrap(part), FunctionType)]


def _gather_called(function: FunctionType, gathered: dict[CodeType, FunctionType]) -> None:
    """Add a function and those that it gives a loop to."""
    if function.__code__ in gathered:
        return
    gathered[function.__code__] = function
    for name in accesses(function.__code__).handed_to:
        called = _named(function, name)
        if isinstance(called, type):
            called = None if issubclass(called, Node) else _class_attribute(called, "__init__")
        for each in _functions_of(called):
            _gather_called(each, gathered)


def _named(function: FunctionType, dotted: str) -> Any:
    """What a dotted name means in a function, if it leads there through modules and classes; else None."""
    name, *names = dotted.split(".")
    value = function.__globals__.get(name)
    for free, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        if free == name:
            with contextlib.suppress(ValueError):  # of a name that nothing was assigned to yet
                value = cell.cell_contents
    for each in names:
        value = vars(value).get(each) if isinstance(value, ModuleType | type) else None
    return value


def _strings_in(value: Any) -> Iterator[str]:
    """The names in a string, or in the strings of a container: `"agent.epsilon"` has two."""
    if isinstance(value, str):
        yield from value.split(".")
    elif isinstance(value, list | tuple | set | dict):
        yield from (name for member in value if isinstance(member, str) for name in member.split("."))
