"""What is found in bytecode, against what really happens: method bodies are made up, run on an object that records."""

import ast
import contextlib
import itertools
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from looptree.core.bytecode import Accesses, accesses


def method(body: str, parameters: str = "self"):
    """A function made of a body."""
    namespace = {}
    exec(f"def method({parameters}):\n{textwrap.indent(textwrap.dedent(body).strip(), '    ')}\n", namespace)
    return namespace["method"]


def found_in(body: str, parameters: str = "self") -> Accesses:
    return accesses(method(body, parameters).__code__)


def dotted(paths) -> set[str]:
    return {".".join(path) for path in paths}


# --- case by case -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "reads", "writes"),
    [
        ("self.x", "x", ""),
        ("self.x = 1", "", "x"),
        ("del self.x", "", "x"),
        ("self.x += 1", "x", "x"),
        ("self.x += float(self.y)", "x y", "x"),
        ("self.x.append(self.y, 1, 2)", "x x.append y", ""),
        ("self.x[0] = self.y", "x y", ""),
        ("self.x[self.y] += 1", "x y", ""),
        ("self.x[self.y:] = self.z[:self.w]", "x y z w", ""),
        ("self.a.b.x = self.a.c.y", "a a.b a.c a.c.y", "a.b.x"),
        ("self.a.b.x **= f(self.y, *self.z, k=self.w)", "a a.b a.b.x y z w", "a.b.x"),
        ("self.x = self.y = self.z", "z", "x y"),
        ("self.x, self.y = 1, 2", "", "x y"),
        ("self.x, (self.y, *self.z) = f()", "", "x y z"),
        ("self.x, self.a.y, self.z, self.w = f(self.v)", "v a", "x a.y z w"),
        ("for self.x in self.y: pass", "y", "x"),
        ("for self.x, self.a.y in self.z: self.w", "z a w", "x a.y"),
        ("with self.x as self.y: self.z", "x z", "y"),
        ("with self.x, self.y(self.z) as s: s.w = 1", "x y z", ""),
        ("self.x if self.y else self.z", "x y z", ""),
        ("self.x and self.y or not self.z", "x y z", ""),
        ("self.w < self.x < self.y", "w x y", ""),
        ("f'{self.x!r:{self.y}} {self.z}'", "x y z", ""),
        ("return [self.x, *self.y, {self.z: self.w}]", "x y z w", ""),
        ("assert self.x, self.y", "x y", ""),
        ("raise self.x from self.y", "x y", ""),
        ("yield self.x\nyield from self.y\nself.z = yield", "x y", "z"),
        ("import os as s\nself.x = s\nglobal g\ng = self.y", "y", "x"),
        ("self.x: int = 1", "", "x"),
        ("match self.x:\n  case [s, 1]: self.z = 1\n  case {'k': s}: s.w = self.y", "x y", "z"),
        ("(s := self.a).x = 1", "a", "a.x"),
        ("if (s := self.a): s.x += self.y", "a a.x y", "a.x"),
    ],
)
def test_each_kind_of_access(body, reads, writes):
    found = found_in(body)
    assert dotted(found.reads) == set(reads.split())
    assert dotted(found.writes) == set(writes.split())


@pytest.mark.parametrize(
    ("body", "writes"),
    [
        ("s = self\ns.x = 1", "x"),
        ("s = self.a.b\ns.x = 1", "a.b.x"),
        ("s = t = self.a\ns.x = t.y = 1", "a.x a.y"),
        ("s, t = self.a, self.b\ns.x = t.y = 1", "a.x b.y"),
        ("s, t, u = self.a, self.b, self\ns.x = t.y = u.z = 1", "a.x b.y z"),
        ("s, t = self.a, (1 if c else 2)\ns.x = t", "a.x"),
        ("s, t = self.a, self.b\ns, t = t, s\ns.x = t.y = 1", "b.x a.y"),
        ("s, t = self.pair\ns.x = t.y = 1", ""),
        ("s = self.a\ns = f()\ns.x = 1", ""),
        ("s = self.a\ns = s.b\ns.x = 1", "a.b.x"),
        ("s = self.a if c else self.b\ns.x = 1", "a.x b.x"),
        ("(self.a if c else self.b).x = 1", "a.x b.x"),
        ("s = self.a or self.b\ns.x = 1", "a.x b.x"),
        ("s = c and self.b\ns.x = 1", "b.x"),
        ("s = self.a\nif c: s = None\ns.x = 1", "a.x"),
        ("if c: s = self.a\nelse: s = f()\ns.x = 1", "a.x"),
        ("s = f()\nif c: s = self.a\nelif c: s = self.b\ns.x = 1", "a.x b.x"),
        ("s = self.a\nwhile c:\n  s.x = 1\n  s = self.b", "a.x b.x"),
        ("s = t = self\nfor i in c:\n  s.x = 1\n  s = t\n  t = self.a", "x a.x"),
        ("s = self.a\ntry:\n  s = self.b\n  s = f()\nexcept ValueError:\n  s.x = 1", "a.x b.x"),
        ("s = f()\ntry:\n  s = self.a\nfinally:\n  s.x = 1", "a.x"),
        ("try:\n  s = self.a\nexcept E as e:\n  s = self.b\nelse:\n  s.y = 1\ns.x = 1", "a.y a.x b.x"),
        ("with suppressing(c):\n  s = self.a\n  f()\ns.x = 1", "a.x"),
        ("s = self.a\n[s for s in c]\ns.x = 1", "a.x"),
        ("s = self.a\nself.y = [i for i in [s for s in c] if s]\ns.x = 1", "y a.x"),
        ("s = self.a\ndel s\ns = f()\ns.x = 1", ""),
    ],
)
def test_local_names_for_a_path(body, writes):
    assert dotted(found_in(body, "self, c=None").writes) == set(writes.split())


@pytest.mark.parametrize(
    ("body", "reads", "writes"),
    [
        ("[self.x for i in self.y if self.z]", "x y z", ""),
        ("{self.x: self.y for i in self.z}", "x y z", ""),
        ("sum(self.x + i.y for i in self.z for j in self.w)", "x z w", ""),
        ("s = self.a\n[s.x for i in s.y]", "a a.x a.y", ""),
        ("[[self.x for j in i] for i in self.y]", "x y", ""),
        ("self.w = [self.x(i) for i in self.y]", "x y", "w"),
        ("self.w += [i for i in self.y]", "w y", "w"),
        ("lambda: self.x", "x", ""),
        ("f = lambda self: self.x", "", ""),
        ("def f(i):\n  self.x = i\n  return lambda: self.y\nf(1)", "y", "x"),
        ("def f(self):\n  self.x = 1\nf(None)", "", ""),
        ("def f():\n  s.x = 1\ns = self.a\nf()", "a", "a.x"),
        ("class A:\n  def f(self):\n    self.x = 1\n  y = self.z", "z", ""),
        ("class A:\n  def f(other):\n    self.x = other.y", "", "x"),
    ],
)
def test_functions_inside(body, reads, writes):
    found = found_in(body)
    assert dotted(found.reads) == set(reads.split())
    assert dotted(found.writes) == set(writes.split())


class Base:
    def go(self, *given):
        return given


class Calls(Base):
    def plainly(self):
        super().go()

    def with_arguments(self):
        self.x = super().go(self.y, 1)

    def with_classes(self):
        cls = Calls
        return super(cls, self).go(1).z

    def by_a_name(self):
        parent = super()
        parent.go()


@pytest.mark.parametrize("name", ["plainly", "with_arguments", "with_classes", "by_a_name"])
def test_calls_by_super(name):
    found = accesses(getattr(Calls, name).__code__)
    assert found.supers == {"go"}
    assert dotted(found.reads) == ({"y"} if name == "with_arguments" else set())
    assert dotted(found.writes) == ({"x"} if name == "with_arguments" else set())


def test_a_field_may_be_called_super():
    found = found_in("self.super.x = self.super()")
    assert (dotted(found.reads), dotted(found.writes), found.supers) == ({"super"}, {"super.x"}, frozenset())


def test_lines_are_those_of_the_accesses():
    found = found_in("self.x = (\n  self.y +\n  self.z\n)\n\nif self.y:\n  self.w = 1")
    assert found.reads == {("y",): 3, ("z",): 4}
    assert found.writes == {("x",): 2, ("w",): 8}


def test_strings_and_stored_names():
    found = found_in(
        "other.x = 1\nsetattr(other, 'y', 2)\n[getattr(i, n) for i in c for n in ('z', 'w')]", "self, c=()"
    )
    assert found.stored == {"x"}
    assert {"y", "z", "w"} <= found.strings
    assert (found.reads, found.writes) == ({}, {})


def test_the_first_argument_may_have_any_name():
    assert dotted(found_in("this.x = self", "this, /").writes) == {"x"}


def test_a_function_without_arguments_accesses_nothing():
    found = found_in("x = 1\nx.y = 2", "*self")
    assert (found.reads, found.writes) == ({}, {})


def test_a_name_moved_along_in_a_loop_comes_to_an_end():
    found = found_in("s = self\nwhile s:\n  s = s.a if s.x else s.b\n  s.y = 1")
    assert {"a.y", "b.y", "a.b.y", "b.a.y"} <= dotted(found.writes)
    assert len(found.writes) < 200


def test_a_name_moved_along_in_branches_is_given_up_when_it_may_stand_for_too_much():
    found = found_in("s = self\n" + "s = s.a if s.x else s.b\n" * 40 + "s.y = 1\nself.z = 1")
    assert len(found.reads) < 1000
    assert dotted(found.writes) == {"z"}


# --- against what really happens ----------------------------------------------------------------------------


class Failed(Exception):
    """Raised by the bodies that are made up."""


@dataclass
class Record:
    """What was read and written on an object and on what it led to, as dotted paths; and what happens next."""

    choices: Iterator[bool]
    reads: set[str] = field(default_factory=set)
    writes: set[str] = field(default_factory=set)


class Recorder:
    """An object that has every attribute, and records which are read and written.

    It is a function, a sequence, a number and a context manager too, so that any made-up body runs on it; what these
    give is recorded nowhere. The choices of its record say whether it is true and whether a call of it fails.
    """

    def __init__(self, record: Record, path: str = ""):
        object.__setattr__(self, "_record", record)
        object.__setattr__(self, "_path", path)

    def __getattribute__(self, name: str):
        if name.startswith("_"):
            return object.__getattribute__(self, name)
        path = f"{self._path}.{name}".lstrip(".")
        self._record.reads.add(path)
        return Recorder(self._record, path)

    def __setattr__(self, name: str, value: object):
        self._record.writes.add(f"{self._path}.{name}".lstrip("."))

    def __delattr__(self, name: str):
        self._record.writes.add(f"{self._path}.{name}".lstrip("."))

    def __bool__(self):
        return next(self._record.choices)

    def __call__(self, *args, **kwargs):
        if next(self._record.choices):
            raise Failed
        return Recorder(Record(self._record.choices))

    def __getitem__(self, index):
        return Recorder(Record(self._record.choices))

    def __setitem__(self, index, value):
        pass

    def __iter__(self):
        return iter([self[0], self[1]])

    def __add__(self, other):
        return self[0]

    def __lt__(self, other):
        return self[0]

    def __enter__(self):
        return self[0]

    def __exit__(self, *raised):
        return next(self._record.choices)


# What stands in <> is a method of Writer, which fills it in.
VALUES = (
    "<attribute>",
    "<name>",
    "(<value> if <value> else <value>)",
    "(<value> or <value>)",
    "(<value> and <value>)",
    "(<value> < <value> < <value>)",
    "(<value> + <value>)",
    "<value>[<value>]",
    "<attribute>(<value>)",
    "<attribute>(<value>, *<value>, k=<value>)",
    "anything((lambda: <value>)(), <value>)",
    "anything(f'{<name>} {<attribute>!r:>9}')",
    "anything([<value> for s in <value> if <value>])",
    "anything(<value> for t in <value> for s in <value>)",
    "anything({<value>: <value> for s in <value>}, [<value>, *<value>])",
)
STATEMENTS = (
    "<value>",
    "<target> = <value>",
    "<target> = <value>",
    "<target> = <target> = <value>",
    "<target>, <target> = <value>, <value>",
    "<target>, <target>, <target> = <value>, <value>, <value>",
    "<target>, (<target>, *<attribute>) = <value>",
    "(<local> := <value>).x = <value>",
    "<attribute> += <value>",
    "<attribute>[<value>] += <value>",
    "del <attribute>",
    "if <value>:\n<block>",
    "if (<local> := <value>):\n<block>\nelif <value>:\n<block>\nelse:\n<block>",
    "if <value>:\n    return <value>",
    "while again() and <value>:\n<loop>\nelse:\n<block>",
    "for <target> in <value>:\n<loop>",
    "try:\n<block>\nexcept Failed:\n<block>",
    "try:\n<block>\nfinally:\n<block>",
    "try:\n<block>\nexcept Failed:\n<block>\nelse:\n<block>\nfinally:\n<block>",
    "with <value> as <target>:\n<block>",
    "with <value>, <value>:\n<block>",
    "match <value>:\n    case <local> if <value>:\n        <value>\n    case _:\n        <value>",
    "def inner(u):\n<inner>\ninner(anything(<value>))",
)
IN_LOOPS = ("if <value>:\n    break", "if <value>:\n    continue")


class Writer:
    """Writes the body of a method; `draw` makes the choices."""

    def __init__(self, draw):
        self.draw = draw
        self.names = ("s", "t")  # of values
        self.locals = ("s", "t")  # those that may be assigned

    def pick(self, options):
        return self.draw(st.sampled_from(options))

    def fill(self, template: str, room: int) -> str:
        return re.sub("<([a-z]+)>", lambda slot: getattr(self, slot[1])(room - 1), template)

    def name(self, room: int) -> str:
        return self.pick(("self", *self.names))

    def attribute(self, room: int) -> str:
        owner = self.pick(("self", "self", *self.names, "self.a", f"{self.names[-1]}.b"))
        return f"{owner}.{self.pick('xyab')}"

    def local(self, room: int) -> str:
        return self.pick(self.locals)

    def target(self, room: int) -> str:
        return self.local(room) if self.draw(st.booleans()) else self.attribute(room)

    def value(self, room: int) -> str:
        return self.fill(self.pick(VALUES if room > 0 else VALUES[:2]), room)

    def block(self, room: int, templates=STATEMENTS) -> str:
        if room <= 0:
            templates = STATEMENTS[:11]
        lines = [self.fill(self.pick(templates), room) for _ in range(self.draw(st.integers(1, 3)))]
        return textwrap.indent("\n".join(lines), "    ")

    def loop(self, room: int) -> str:
        return self.block(room, STATEMENTS + IN_LOOPS)

    def inner(self, room: int) -> str:
        """The body of a function inside, with a local name of its own and those of the outer one to read."""
        outer = self.names, self.locals
        self.names, self.locals = ("s", "t", "u"), ("u",)
        body = self.block(room)
        self.names, self.locals = outer
        return body


@st.composite
def sources(draw):
    return f"def method(self, s, t):\n    t = self.a\n{Writer(draw).block(3)}\n"


def happens(source: str, choices: list[bool]) -> Record:
    """What a method really does when things go as chosen."""
    record = Record(itertools.chain(choices, itertools.repeat(False)))
    unseen = Recorder(Record(record.choices))
    names = {"Failed": Failed, "anything": lambda *given: unseen, "again": lambda: next(record.choices)}
    exec(source, names)
    with contextlib.suppress(Failed):
        names["method"](Recorder(record), unseen, unseen)
    return record


class Mentioned(ast.NodeVisitor):
    """The paths that a source mentions, if a local name may stand anywhere for all that it is ever given."""

    longest = 6

    def __init__(self, tree: ast.AST):
        self.reads: set[str] = set()
        self.writes: set[str] = set()
        self.known: dict[str, set[tuple[str, ...]]] = {"self": {()}}
        before = -1
        while before != self.size():
            before = self.size()
            self.visit(tree)

    def size(self) -> int:
        return sum(len(paths) for paths in (self.reads, self.writes, *self.known.values()))

    def paths(self, node: ast.AST) -> set[tuple[str, ...]]:
        match node:
            case ast.Name(id=name):
                return self.known.get(name, set())
            case ast.Attribute(value=owner, attr=name):
                return {(*path, name) for path in self.paths(owner) if len(path) < self.longest}
            case ast.IfExp(body=first, orelse=second) | ast.BoolOp(values=[first, second]):
                return self.paths(first) | self.paths(second)
            case ast.NamedExpr(value=value):
                return self.paths(value)
        return set()

    def bind(self, target: ast.AST, value: ast.AST):
        match target, value:
            case ast.Name(id=name), _:
                self.known.setdefault(name, set()).update(self.paths(value))
            case ast.Tuple(elts=targets), ast.Tuple(elts=values):
                for each, given in zip(targets, values, strict=True):
                    self.bind(each, given)

    def visit_Assign(self, node):
        for target in node.targets:
            self.bind(target, node.value)
        self.generic_visit(node)

    def visit_NamedExpr(self, node):
        self.bind(node.target, node.value)
        self.generic_visit(node)

    def visit_Match(self, node):
        self.bind(ast.Name(node.cases[0].pattern.name), node.subject)
        self.generic_visit(node)

    def visit_AugAssign(self, node):
        if isinstance(node.target, ast.Attribute):
            self.reads |= dotted(self.paths(node.target))
        self.generic_visit(node)

    def visit_Attribute(self, node):
        (self.reads if isinstance(node.ctx, ast.Load) else self.writes).update(dotted(self.paths(node)))
        self.generic_visit(node)


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(sources(), st.lists(st.lists(st.booleans(), max_size=20), min_size=3, max_size=6))
def test_all_that_happens_is_found_and_all_that_is_found_is_mentioned(source, runs):
    namespace = {}
    exec(source, namespace)
    found = accesses(namespace["method"].__code__)
    for choices in runs:
        happened = happens(source, choices)
        assert happened.reads <= dotted(found.reads)
        assert happened.writes <= dotted(found.writes)
    mentioned = Mentioned(ast.parse(source))
    assert {path for path in dotted(found.reads) if path.count(".") < Mentioned.longest} <= mentioned.reads
    assert {path for path in dotted(found.writes) if path.count(".") < Mentioned.longest} <= mentioned.writes
