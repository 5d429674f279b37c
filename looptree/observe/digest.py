"""When a value is another one than before, and what to keep of it so that it stays as it was.

    marks = Marks()
    before = marks.mark(batch)
    batch[0] = 7
    marks.mark(batch) == before     # False, although `batch` is the same object

Numbers, strings, containers, arrays and dataclass instances with equal contents are the same value, whichever objects
hold them. A tensor, a torch module or any other object is the same value only if it is the same object; tensors, and
modules in their parameters and buffers, also have to be at the same version. Nothing of torch or NumPy is imported: a
value of theirs can only be met where the program has imported them.

Not seen are writes that torch does not count (through `tensor.data`, or from NumPy into memory that a tensor shares),
and what happens inside an object of any other class. NaN is the same value as NaN, but for one in a container, where it
is as Python has it: the same only if it is the same object, for to look for it would make each look dearer.
"""

from __future__ import annotations

import array
import dataclasses
import enum
import itertools
import numbers
import sys
import zlib
from collections import deque
from collections.abc import Callable, Iterable
from types import FunctionType, MethodType, ModuleType
from typing import Any

from looptree.core.node import Node

PLAIN: frozenset[type] = frozenset({int, float, complex, bool, str, bytes, type(None)})
"""Classes of values that nothing can change, and that `==` and their class tell apart."""
NUMBERS: frozenset[type] = frozenset({int, float, bool})
"""Those of them that are always kept whole."""

_SCALARS = (str, bytes, type(None), numbers.Number, enum.Enum, range)
_SEQUENCES = (list, tuple, deque)
_BYTES = (bytearray, array.array)

_SHORT = 16
"""Most elements of an array, tensor or container that is kept whole."""

_LONG_TEXT = 200
"""Most characters of a string that is kept whole."""


class Unset:
    """The value of a field that its owner does not have (yet, or any more)."""

    def __repr__(self) -> str:
        return "unset"

    def __reduce__(self) -> str:
        return "UNSET"  # copies are the same one


UNSET = Unset()


@dataclasses.dataclass(frozen=True)
class Summary:
    """What is kept of a value that is too large, or too much alive, to be copied: a line of text about it."""

    text: str

    def __repr__(self) -> str:
        return self.text


class _Same:
    """Equal to another one of the very same object; holds the object, so that its address cannot be used again."""

    __slots__ = ("held",)

    def __init__(self, held: object) -> None:
        self.held = held

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.held is other.held

    def __hash__(self) -> int:
        return id(self.held)


class Marks:
    """Tells values from each other, in-place changes included, by marks: equal marks, same value.

    torch's fused optimizers write parameters without counting it in `tensor._version`. The first tensor that is met
    therefore starts a count of optimizer steps, which `close` ends.
    """

    def __init__(self) -> None:
        self._open: set[int] = set()
        self._optimizer_steps: dict[int, int] = {}
        self._optimizer_hook: Any = None

    def close(self) -> None:
        """Stop counting optimizer steps."""
        if self._optimizer_hook is not None:
            self._optimizer_hook.remove()
            self._optimizer_hook = None

    def mark(self, value: Any) -> object:
        """What tells `value` from other values; to be compared with `==`."""
        return self.marker(value)(value)

    def marker(self, value: Any) -> Callable[[Any], object]:
        """The function that makes the marks of `value`, as long as it is the same object."""
        kind = type(value)
        if kind in PLAIN or isinstance(value, _SCALARS):
            return _scalar_mark
        if isinstance(value, _SEQUENCES):
            return self._sequence_mark
        if isinstance(value, dict):
            return self._dict_mark
        if isinstance(value, set | frozenset):
            return _set_mark
        if isinstance(value, _BYTES):
            return _bytes_mark
        if _is_array(value):
            return self._array_mark
        if _is_tensor(value):
            return self._tensor_mark
        if _is_module(value):
            return self._module_mark
        if _is_record(value):
            return self._record_mark
        return _Same

    def _sequence_mark(self, value: Any) -> object:
        return self._inside(value, lambda: (type(value), self._marks(value)))

    def _dict_mark(self, value: Any) -> object:
        return self._inside(value, lambda: (type(value), self._marks(value), self._marks(value.values())))

    def _record_mark(self, value: Any) -> object:
        return self._inside(value, lambda: (type(value), self._marks(_record_fields(value).values())))

    def _module_mark(self, value: Any) -> object:
        return (_Same(value), tuple(map(self._tensor_mark, _module_tensors(value))))

    def _inside(self, value: object, mark: Callable[[], object]) -> object:
        """The mark of something with members, which may hold itself."""
        if id(value) in self._open:
            return _Same(value)
        self._open.add(id(value))
        try:
            return mark()
        finally:
            self._open.discard(id(value))

    def _marks(self, members: Iterable[Any]) -> object:
        held = tuple(members)
        kinds = tuple(map(type, held))
        return (kinds, held) if PLAIN.issuperset(kinds) else tuple(map(self.mark, held))

    def _array_mark(self, value: Any) -> object:
        if value.dtype.hasobject:
            return (value.shape, self._inside(value, lambda: self._marks(value.ravel().tolist())))
        return (type(value), value.shape, value.dtype.str, _array_digest(value))

    def _tensor_mark(self, value: Any) -> object:
        if self._optimizer_hook is None:
            optimizers = sys.modules["torch.optim.optimizer"]
            self._optimizer_hook = optimizers.register_optimizer_step_post_hook(self._count_step)
        version = _tensor_digest(value) if value.is_inference() else value._version
        return (_Same(value), version, self._optimizer_steps.get(id(value), 0))

    def _count_step(self, optimizer: Any, *_: object) -> None:
        steps = self._optimizer_steps
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                steps[id(parameter)] = steps.get(id(parameter), 0) + 1


def _scalar_mark(value: Any) -> object:
    return (type(value), value if value == value else "nan")


def _set_mark(value: Any) -> object:
    return (type(value), frozenset(value))


def _bytes_mark(value: Any) -> object:
    return (type(value), bytes(value))


def is_fixed(value: Any) -> bool:
    """Whether nothing that can be noticed happens inside `value`: while it is the same object, it is the same value."""
    return type(value) in PLAIN or not (
        isinstance(value, (*_SEQUENCES, dict, set, *_BYTES))
        or _is_array(value)
        or _is_tensor(value)
        or _is_module(value)
        or _is_record(value)
    )


def snapshot(value: Any) -> Any:
    """`value` as it is now, safe from later changes: scalars themselves, copies of what is small, else a `Summary`.

    A `Summary` of an array, and of a tensor or module in the memory of the CPU, ends in a digest of the contents
    (`#1f2e3d4c`, equal for equal contents); one of a tensor elsewhere in its version, lest anything wait for a device.
    """
    if type(value) in PLAIN or isinstance(value, (*_SCALARS, Unset)):
        if isinstance(value, str | bytes) and len(value) > _LONG_TEXT:
            return Summary(f"{type(value).__name__} of {len(value):,}: {value[:20]!r}...")
        return value
    if isinstance(value, (*_SEQUENCES, dict, set, frozenset, *_BYTES)):
        return _container_snapshot(value)
    if _is_array(value):
        return value.copy() if value.size <= _SHORT and not value.dtype.hasobject else _array_summary(value)
    if _is_tensor(value):
        return value.detach().clone() if value.numel() <= _SHORT else _tensor_summary(value)
    if _is_module(value):
        return _module_summary(value)
    if _is_record(value):
        shown = (f"{name}={show(snapshot(member))}" for name, member in _record_fields(value).items())
        return Summary(f"{type(value).__name__}({', '.join(itertools.islice(shown, _SHORT))})")
    if isinstance(value, type | FunctionType | MethodType | ModuleType):
        return Summary(getattr(value, "__qualname__", value.__name__))
    if isinstance(value, Node):
        return Summary(f"{type(value).__name__} {value.path}")
    return Summary(f"<{type(value).__qualname__} at {id(value):#x}>")


def show(kept: Any) -> str:
    """A snapshot on one line of a table: numbers with six digits, long texts cut."""
    if type(kept) is float:
        return format(kept, ".6g")
    text = " ".join(repr(kept).split())
    return text if len(text) <= _LONG_TEXT else text[: _LONG_TEXT - 3] + "..."


def _container_snapshot(value: Any) -> Any:
    """A copy of a small container of scalars in the plain class that it derives from, else its first members."""
    members = list(itertools.islice(value.values() if isinstance(value, dict) else value, _SHORT + 1))
    if len(members) <= _SHORT and all(isinstance(member, _SCALARS) for member in members):
        if isinstance(value, array.array):
            return value[:]
        plain = next(base for base in (list, tuple, deque, dict, set, frozenset, bytearray) if isinstance(value, base))
        return plain(value)
    shown = ", ".join(_outline(member) for member in members[:3])
    return Summary(f"{type(value).__name__} of {len(value):,}: {shown}{', ...' if len(value) > 3 else ''}")


def _outline(member: Any) -> str:
    """A member of a container that is not kept whole."""
    if isinstance(member, (*_SEQUENCES, dict, set, frozenset)):
        return f"{type(member).__name__} of {len(member):,}"
    return show(snapshot(member))


def _array_summary(value: Any) -> Summary:
    digest = "" if value.dtype.hasobject else f" #{_array_digest(value):08x}"
    return Summary(f"{type(value).__name__} {value.shape} {value.dtype}{digest}")


def _tensor_summary(value: Any) -> Summary:
    place = "" if value.device.type == "cpu" else f" {value.device}"
    kind = str(value.dtype).removeprefix("torch.")
    return Summary(f"{type(value).__name__} {tuple(value.shape)} {kind}{place} {_tensor_state([value])}")


def _module_summary(value: Any) -> Summary:
    tensors = _module_tensors(value)
    count = sum(tensor.numel() for tensor in tensors)
    return Summary(f"{type(value).__name__} of {len(tensors)} tensors, {count:,} numbers {_tensor_state(tensors)}")


def _tensor_state(tensors: list[Any]) -> str:
    """The digest of the contents of some tensors, or their version where reading them would wait for a device."""
    if all(tensor.device.type == "cpu" and tensor.layout == sys.modules["torch"].strided for tensor in tensors):
        digest = 0
        for tensor in tensors:
            digest = _tensor_digest(tensor, digest)
        return f"#{digest:08x}"
    return f"version {sum(tensor._version for tensor in tensors if not tensor.is_inference())}"


def _tensor_digest(value: Any, start: int = 0) -> int:
    """A checksum of the contents of a tensor, of any kind of number that torch has."""
    torch = sys.modules["torch"]
    numbers_ = value.detach().resolve_conj().resolve_neg().cpu().contiguous().reshape(-1)
    return zlib.crc32(numbers_.view(torch.uint8).numpy(), start) if numbers_.numel() else start


def _array_digest(value: Any) -> int:
    return zlib.crc32(value.view("u1") if value.flags.c_contiguous and value.size and value.ndim else value.tobytes())


def _module_tensors(value: Any) -> list[Any]:
    return [*value.parameters(), *value.buffers()]


def _record_fields(value: Any) -> dict[str, Any]:
    """The fields of a dataclass instance; one that was never set is UNSET."""
    return {field.name: getattr(value, field.name, UNSET) for field in dataclasses.fields(value)}


def _is_record(value: Any) -> bool:
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


def _is_array(value: Any) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.ndarray)


def _is_tensor(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def _is_module(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.nn.Module)
