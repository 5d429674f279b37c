"""Which attributes of `self` a function reads and writes, found in its bytecode without running it.

The instructions are followed with a stack of symbols: a symbol is the path of names that leads from `self` to a value
(`("learner", "loss")`), or None for any other value. Local names for a path (`source = self.learner.source`) count
too, as do functions defined inside that use `self`. Branches are followed in the order in which they are written.
"""

from __future__ import annotations

import dis
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType

Path = tuple[str, ...]
Symbol = Path | None

SELF: Path = ()
_SUPER: Path = ("super",)  # the global `super`, then what calling it gives; never a path from self
_SUPER_OBJECT: Path = ("super()",)


@dataclass(frozen=True)
class Accesses:
    """What a function does with `self`: paths read and written with their lines, and methods it calls by super()."""

    reads: dict[Path, int]
    writes: dict[Path, int]
    supers: frozenset[str]
    strings: frozenset[str]
    stored: frozenset[str]  # names of attributes written to any object, for those who ask only what may exist


_KNOWN: weakref.WeakKeyDictionary[CodeType, Accesses] = weakref.WeakKeyDictionary()


def accesses(code: CodeType) -> Accesses:
    """The accesses of a method's code, whose first argument is `self`."""
    if code not in _KNOWN:
        reader = _Reader()
        if code.co_argcount:
            reader.follow(code, {code.co_varnames[0]: SELF})
        _KNOWN[code] = Accesses(
            reader.reads,
            reader.writes,
            frozenset(reader.supers),
            frozenset(_strings(code)),
            frozenset(reader.stored),
        )
    return _KNOWN[code]


class _Reader:
    """Follows one function and those defined in it, and collects what they do."""

    def __init__(self) -> None:
        self.reads: dict[Path, int] = {}
        self.writes: dict[Path, int] = {}
        self.supers: set[str] = set()
        self.stored: set[str] = set()

    def follow(self, code: CodeType, known: dict[str, Path]) -> None:
        frame = _Frame(self, known)
        for instruction in dis.get_instructions(code):
            frame.step(instruction)
        for constant in code.co_consts:
            if isinstance(constant, CodeType):
                shared = {name: path for name, path in frame.known.items() if name in constant.co_freevars}
                self.follow(constant, shared)

    def read(self, owner: Symbol, name: str, line: int) -> Symbol:
        if owner is _SUPER_OBJECT:
            self.supers.add(name)
            return None
        if owner is None or owner is _SUPER:
            return None
        path = (*owner, name)
        self.reads.setdefault(path, line)
        return path

    def write(self, owner: Symbol, name: str, line: int) -> None:
        self.stored.add(name)
        if owner is not None and owner is not _SUPER and owner is not _SUPER_OBJECT:
            self.writes.setdefault((*owner, name), line)


class _Frame:
    """The symbolic stack and local names of one function while its instructions go by."""

    def __init__(self, reader: _Reader, known: dict[str, Path]) -> None:
        self.reader = reader
        self.known: dict[str, Path] = dict(known)
        self.stack: list[Symbol] = []
        self.waiting: dict[int, list[Symbol]] = {}  # the stack that a jump brings to an offset
        self.line = 0

    def pop(self) -> Symbol:
        return self.stack.pop() if self.stack else None

    def step(self, instruction: dis.Instruction) -> None:
        if instruction.offset in self.waiting:
            self.stack = self.waiting.pop(instruction.offset)
        if instruction.starts_line is not None and not isinstance(instruction.starts_line, bool):
            self.line = instruction.starts_line
        else:  # 3.13 says by a bool whether a line starts here, and its number apart
            self.line = getattr(instruction, "line_number", None) or self.line
        special = getattr(self, "do_" + instruction.opname.lower(), None)
        if special is None:
            self.other(instruction)
        else:
            special(instruction)

    def other(self, instruction: dis.Instruction) -> None:
        """Any instruction that is not about attributes: the stack keeps its height, what it leaves is unknown."""
        argument = instruction.arg if instruction.opcode >= dis.HAVE_ARGUMENT else None
        if instruction.opcode in dis.hasjrel or instruction.opcode in dis.hasjabs:
            arrived = list(self.stack)
            self._shift(arrived, dis.stack_effect(instruction.opcode, argument, jump=True))
            self.waiting.setdefault(instruction.argval, arrived)
        self._shift(self.stack, dis.stack_effect(instruction.opcode, argument, jump=False))

    @staticmethod
    def _shift(stack: list[Symbol], effect: int) -> None:
        if effect < 0:
            del stack[effect:]
        stack.extend([None] * effect)
        if effect <= 0 and stack:
            stack[-1] = None

    # loads and stores of local names

    def load(self, name: str) -> None:
        self.stack.append(self.known.get(name))

    def store(self, name: str) -> None:
        symbol = self.pop()
        if symbol is None:
            self.known.pop(name, None)
        else:
            self.known[name] = symbol

    def do_load_fast(self, instruction: dis.Instruction) -> None:
        self.load(instruction.argval)

    do_load_fast_check = do_load_fast_borrow = do_load_fast_and_clear = do_load_fast
    do_load_deref = do_load_closure = do_load_fast

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

    do_resume = do_cache = do_precall = do_kw_names = do_extended_arg = do_make_cell = do_nop
    do_copy_free_vars = do_not_taken = do_nop

    def do_pop_top(self, instruction: dis.Instruction) -> None:
        self.pop()

    def do_copy(self, instruction: dis.Instruction) -> None:
        depth = instruction.arg or 1
        self.stack.append(self.stack[-depth] if depth <= len(self.stack) else None)

    def do_swap(self, instruction: dis.Instruction) -> None:
        depth = instruction.arg or 1
        if depth <= len(self.stack):
            self.stack[-1], self.stack[-depth] = self.stack[-depth], self.stack[-1]

    # attributes

    def do_load_attr(self, instruction: dis.Instruction) -> None:
        pushed = dis.stack_effect(instruction.opcode, instruction.arg)  # 1 where a method and its self are loaded
        path = self.reader.read(self.pop(), instruction.argval, self.line)
        self.stack.extend([path, None] if pushed else [path])

    do_load_method = do_load_attr

    def do_load_super_attr(self, instruction: dis.Instruction) -> None:
        pushed = dis.stack_effect(instruction.opcode, instruction.arg) + 3
        del self.stack[-3:]
        self.reader.supers.add(instruction.argval)
        self.stack.extend([None] * pushed)

    def do_store_attr(self, instruction: dis.Instruction) -> None:
        owner = self.pop()
        self.pop()
        self.reader.write(owner, instruction.argval, self.line)

    def do_delete_attr(self, instruction: dis.Instruction) -> None:
        self.reader.write(self.pop(), instruction.argval, self.line)

    # super(): the global, and the call of it

    def do_load_global(self, instruction: dis.Instruction) -> None:
        pushed = dis.stack_effect(instruction.opcode, instruction.arg)
        symbol = _SUPER if instruction.argval == "super" else None
        self.stack.extend([None] * (pushed - 1) + [symbol])

    def do_call(self, instruction: dis.Instruction) -> None:
        taken = (instruction.arg or 0) + 2
        called = _SUPER in self.stack[-taken:]
        self.other(instruction)
        if called and not instruction.arg and self.stack:
            self.stack[-1] = _SUPER_OBJECT


def _strings(code: CodeType) -> Iterator[str]:
    """Every string among the constants of a function: names of fields that it may set by name."""
    for constant in code.co_consts:
        if isinstance(constant, str):
            yield constant
        elif isinstance(constant, tuple):
            yield from (member for member in constant if isinstance(member, str))
        elif isinstance(constant, CodeType):
            yield from _strings(constant)
