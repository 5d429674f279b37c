"""Which attributes of `self` a function reads and writes, found in its bytecode without running it.

The instructions are followed with a stack of symbols. A symbol says where a value may come from: it is the set of the
paths of names that lead to it from `self` (`("learner", "loss")`), and empty for any other value. Local names for a
path (`source = self.learner.source`) count too, as do functions defined inside that use `self`. Where branches of the
code meet, a value may come from either. What goes through a container or an argument of a call is not followed.
"""

from __future__ import annotations

import dis
import weakref
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import CodeType

Path = tuple[str, ...]
Symbol = frozenset[Path]

_OTHER: Symbol = frozenset()
_SELF: Symbol = frozenset({()})
# These begin with what is no name of an attribute, so they are never paths from self: what a global name leads to, the
# global `super` among them, and what calling that gives.
_GLOBAL = "<global>"
_SUPER: Symbol = frozenset({(_GLOBAL, "super")})
_SUPER_OBJECT: Symbol = frozenset({("<super()>",)})

# A name that is moved along in a loop (`node = node.parent`) would have ever longer paths, and one that is moved along
# in branches ever more of them.
_MOST_ROUNDS = 5
_MOST_PATHS = 100

_JUMPS = frozenset({*dis.hasjrel, *dis.hasjabs})
_NOTHING_FOLLOWS = frozenset(
    {
        "JUMP_BACKWARD",
        "JUMP_BACKWARD_NO_INTERRUPT",
        "JUMP_FORWARD",
        "RAISE_VARARGS",
        "RERAISE",
        "RETURN_CONST",
        "RETURN_VALUE",
    }
)


@dataclass(frozen=True)
class Accesses:
    """What a function does with `self`: paths read and written with their lines, and methods it calls by super().

    The rest is for those who ask only which fields may exist: strings, names of attributes written to any object, and
    the functions and classes that are called with `self`, or with what a path leads to, as dotted names.
    """

    reads: dict[Path, int]
    writes: dict[Path, int]
    supers: frozenset[str]
    strings: frozenset[str]
    stored: frozenset[str]
    handed_to: frozenset[str]


_KNOWN: weakref.WeakKeyDictionary[CodeType, Accesses] = weakref.WeakKeyDictionary()


def accesses(code: CodeType) -> Accesses:
    """The accesses of a method's code, whose first argument is `self`."""
    if code not in _KNOWN:
        reader = _Reader()
        reader.follow(code, {code.co_varnames[0]: _SELF} if code.co_argcount else {})
        _KNOWN[code] = Accesses(
            reader.reads,
            reader.writes,
            frozenset(reader.supers),
            frozenset(_strings(code)),
            frozenset(reader.stored),
            frozenset(reader.handed_to),
        )
    return _KNOWN[code]


class _Reader:
    """Follows one function and those defined in it, and collects what they do."""

    def __init__(self) -> None:
        self.reads: dict[Path, int] = {}
        self.writes: dict[Path, int] = {}
        self.supers: set[str] = set()
        self.stored: set[str] = set()
        self.handed_to: set[str] = set()

    def follow(self, code: CodeType, known: Mapping[str, Symbol]) -> None:
        frame = _Frame(self, known)
        frame.follow(list(dis.get_instructions(code)))
        for constant in code.co_consts:
            if isinstance(constant, CodeType):
                self.follow(constant, {name: frame.ever[name] for name in constant.co_freevars if name in frame.ever})

    def read(self, owner: Symbol, name: str, line: int) -> Symbol:
        if owner == _SUPER_OBJECT:
            self.supers.add(name)
            return _OTHER
        for path in _from_self(owner):
            self.reads.setdefault((*path, name), line)
        return frozenset((*path, name) for path in owner) if len(owner) <= _MOST_PATHS else _OTHER

    def write(self, owner: Symbol, name: str, line: int) -> None:
        self.stored.add(name)
        for path in _from_self(owner):
            self.writes.setdefault((*path, name), line)

    def call(self, called: Symbol, given: Iterable[Symbol]) -> Symbol:
        if called == _SUPER:
            return _SUPER_OBJECT
        if any(_from_self(symbol) for symbol in given):
            self.handed_to |= {".".join(path[1:]) for path in called if path[0:1] == (_GLOBAL,)}
        return _OTHER


@dataclass
class _State:
    """The symbolic stack, and the local names that stand for a path, at one place of a function."""

    stack: list[Symbol] = field(default_factory=list)
    known: dict[str, Symbol] = field(default_factory=dict)

    def copy(self) -> _State:
        return _State(list(self.stack), dict(self.known))

    def joined(self, other: _State) -> _State:
        """What holds where two ways through the code meet: each value may come from either."""
        height = min(len(self.stack), len(other.stack))
        pairs = zip(self.stack[len(self.stack) - height :], other.stack[len(other.stack) - height :], strict=True)
        return _State([mine | others for mine, others in pairs], _joined(self.known, other.known))

    def shift(self, effect: int) -> None:
        """Make the stack higher by unknown values, or lower."""
        if effect < 0:
            del self.stack[effect:]
        self.stack.extend([_OTHER] * effect)


class _Frame:
    """One function while its instructions are followed, round after round until jumps back bring nothing new."""

    def __init__(self, reader: _Reader, known: Mapping[str, Symbol]) -> None:
        self.reader = reader
        self.start = _State(known=dict(known))
        self.ever: dict[str, Symbol] = dict(known)  # all that a local name stands for anywhere in the function
        self.arriving: dict[int, _State] = {}  # what jumps bring to an offset
        self.state = _State()
        self.line = 0

    def follow(self, instructions: list[dis.Instruction]) -> None:
        rounds, more = 0, True
        while more and rounds < _MOST_ROUNDS:
            rounds, more = rounds + 1, self.round(instructions)

    def round(self, instructions: list[dis.Instruction]) -> bool:
        """Follow all instructions once; whether a jump back brought something new to where it leads."""
        new, reached = False, True
        self.state = self.start.copy()
        for instruction in instructions:
            self.enter(instruction.offset, reached)
            self.line = (instruction.positions and instruction.positions.lineno) or self.line
            if instruction.opcode in _JUMPS:
                new |= self.jump(instruction) and instruction.argval <= instruction.offset
            else:
                step = getattr(self, "do_" + instruction.opname.lower(), self.other)
                step(instruction)
            reached = instruction.opname not in _NOTHING_FOLLOWS
        return new

    def enter(self, offset: int, reached: bool) -> None:
        """Come to an instruction: from the one before it, by jumps, or else because something was raised, when a name
        may stand for all that it ever does, and the stack was cleared."""
        arriving = self.arriving.get(offset)
        if arriving is not None:
            self.state = self.state.joined(arriving) if reached else arriving.copy()
        elif not reached:
            self.state = _State(known=dict(self.ever))

    def jump(self, instruction: dis.Instruction) -> bool:
        """Go both ways; whether that brings something new to where the jump leads."""
        arrived = self.state.copy()
        arrived.shift(dis.stack_effect(instruction.opcode, instruction.arg, jump=True))
        self.state.shift(dis.stack_effect(instruction.opcode, instruction.arg, jump=False))
        before = self.arriving.get(instruction.argval)
        joined = arrived if before is None else before.joined(arrived)
        self.arriving[instruction.argval] = joined
        return joined != before

    def pop(self) -> Symbol:
        return self.state.stack.pop() if self.state.stack else _OTHER

    def push(self, *symbols: Symbol) -> None:
        self.state.stack.extend(symbols)

    def other(self, instruction: dis.Instruction) -> None:
        """Any instruction that is not about attributes: the stack gets its height, what it leaves on top is unknown."""
        effect = dis.stack_effect(instruction.opcode, instruction.arg)
        self.state.shift(effect)
        if effect <= 0 and self.state.stack:
            self.state.stack[-1] = _OTHER

    # loads and stores of local names

    def load(self, name: str) -> None:
        self.push(self.state.known.get(name, _OTHER))

    def store(self, name: str) -> None:
        symbol = self.pop()
        self.state.known.pop(name, None)
        if symbol:
            self.state.known[name] = symbol
            self.ever[name] = self.ever.get(name, _OTHER) | symbol

    def do_load_fast(self, instruction: dis.Instruction) -> None:
        self.load(instruction.argval)

    do_load_fast_check = do_load_fast_borrow = do_load_fast
    do_load_closure = do_load_fast

    def do_load_deref(self, instruction: dis.Instruction) -> None:
        unknown = frozenset({(_GLOBAL, instruction.argval)})  # of a function around this one
        self.push(self.state.known.get(instruction.argval) or unknown)

    do_load_classderef = do_load_deref

    def do_load_from_dict_or_deref(self, instruction: dis.Instruction) -> None:
        self.pop()
        self.do_load_deref(instruction)

    def do_load_fast_and_clear(self, instruction: dis.Instruction) -> None:
        self.load(instruction.argval)
        self.state.known.pop(instruction.argval, None)

    def do_store_fast(self, instruction: dis.Instruction) -> None:
        self.store(instruction.argval)

    do_store_deref = do_store_fast

    def do_load_fast_load_fast(self, instruction: dis.Instruction) -> None:
        for name in instruction.argval:
            self.load(name)

    do_load_fast_borrow_load_fast_borrow = do_load_fast_load_fast

    def do_store_fast_load_fast(self, instruction: dis.Instruction) -> None:
        stored, loaded = instruction.argval
        self.store(stored)
        self.load(loaded)

    def do_store_fast_store_fast(self, instruction: dis.Instruction) -> None:
        for name in instruction.argval:
            self.store(name)

    # the stack itself

    def do_nop(self, instruction: dis.Instruction) -> None:
        """Leaves the stack as it is."""

    do_resume = do_cache = do_kw_names = do_extended_arg = do_make_cell = do_copy_free_vars = do_not_taken = do_nop
    do_precall = do_nop  # of 3.11: takes the arguments of the CALL behind it, for which they are left here

    def do_pop_top(self, instruction: dis.Instruction) -> None:
        self.pop()

    def do_copy(self, instruction: dis.Instruction) -> None:
        depth = instruction.arg or 1
        self.push(self.state.stack[-depth] if depth <= len(self.state.stack) else _OTHER)

    def do_swap(self, instruction: dis.Instruction) -> None:
        stack, depth = self.state.stack, instruction.arg or 1
        if depth <= len(stack):
            stack[-1], stack[-depth] = stack[-depth], stack[-1]

    def do_unpack_sequence(self, instruction: dis.Instruction) -> None:
        self.pop()
        self.state.shift(dis.stack_effect(instruction.opcode, instruction.arg) + 1)

    do_unpack_ex = do_unpack_sequence

    # attributes

    def do_load_attr(self, instruction: dis.Instruction) -> None:
        pushed = dis.stack_effect(instruction.opcode, instruction.arg)  # 1 where a method and its self are loaded
        symbol = self.reader.read(self.pop(), instruction.argval, self.line)
        self.push(symbol, *([_OTHER] * pushed))

    do_load_method = do_load_attr

    def do_store_attr(self, instruction: dis.Instruction) -> None:
        owner = self.pop()
        self.pop()
        self.reader.write(owner, instruction.argval, self.line)

    def do_delete_attr(self, instruction: dis.Instruction) -> None:
        self.reader.write(self.pop(), instruction.argval, self.line)

    # super(): the global, and the call of it; from 3.12 on one instruction with the attribute

    def do_load_global(self, instruction: dis.Instruction) -> None:
        effect = dis.stack_effect(instruction.opcode, instruction.arg)  # 2 where room for a self is made beside it
        self.push(*([_OTHER] * (effect - 1)), frozenset({(_GLOBAL, instruction.argval)}))

    def do_call(self, instruction: dis.Instruction) -> None:
        self.call(instruction.arg or 0)

    def do_call_kw(self, instruction: dis.Instruction) -> None:
        self.pop()  # the names of the arguments
        self.call(instruction.arg or 0)

    def call(self, arguments: int) -> None:
        taken = self.state.stack[-arguments - 2 :]
        del self.state.stack[-arguments - 2 :]
        function_and_self = taken[: len(taken) - arguments]
        called = frozenset[Path]().union(*function_and_self)
        self.push(self.reader.call(called, taken[len(function_and_self) :]))

    def do_load_super_attr(self, instruction: dis.Instruction) -> None:
        pushed = dis.stack_effect(instruction.opcode, instruction.arg) + 3
        del self.state.stack[-3:]
        self.push(self.reader.read(_SUPER_OBJECT, instruction.argval, self.line), *([_OTHER] * (pushed - 1)))


def _from_self(symbol: Symbol) -> list[Path]:
    """The paths of a symbol that begin at self, in a stable order."""
    return sorted(path for path in symbol if not (path and path[0].startswith("<")))


def _joined(mine: Mapping[str, Symbol], others: Mapping[str, Symbol]) -> dict[str, Symbol]:
    return {name: mine.get(name, _OTHER) | others.get(name, _OTHER) for name in {**mine, **others}}


def _strings(code: CodeType) -> Iterator[str]:
    """Every string among the constants of a function: names of fields that it may set by name."""
    for constant in code.co_consts:
        if isinstance(constant, str):
            yield constant
        elif isinstance(constant, tuple):
            yield from (member for member in constant if isinstance(member, str))
        elif isinstance(constant, CodeType):
            yield from _strings(constant)
