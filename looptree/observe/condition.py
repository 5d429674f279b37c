"""Condition: comparisons of fields, as a person types them: `loss != loss`, `epsilon < 0.5 and loss > 2`.

Nothing is evaluated as Python: the text is parsed, and what is not a comparison of numbers and fields is refused.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from looptree.core.errors import BadSetting

_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}

_MOST_CHARACTERS = 1_000


class Condition:
    """A condition on fields.

        condition = Condition("loss != loss or source.epsilon < 0.1")
        condition.fields                                            # ("loss", "source.epsilon")
        condition({"loss": float("nan"), "source.epsilon": 1.0})    # True

    Raises:
        BadSetting: the text is not made of comparisons (`<`, `<=`, `>`, `>=`, `==`, `!=`) of fields and numbers, with
            `and`, `or` and `not` between them.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        try:
            parsed = ast.parse(text.strip(), mode="eval").body if len(text) <= _MOST_CHARACTERS else None
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            parsed = None
        if parsed is None:
            raise _unfit(text)
        self._tree = parsed
        self.fields = tuple(dict.fromkeys(_checked(parsed, text)))
        if not self.fields:
            raise _unfit(text)

    def __call__(self, values: Mapping[str, Any]) -> bool:
        """Whether it holds for the values of its fields."""
        return bool(_value(self._tree, values))

    def by_field(self, values: Mapping[str, Any]) -> dict[str, Callable[[Any], bool]]:
        """For a `Trace`: of each field a function of its new value that says whether the condition holds then.

        `values` are those with which the fields begin; as long as one has none, the condition does not hold.
        """
        latest = dict(values)

        def ask(field: str) -> Callable[[Any], bool]:
            def holds(value: Any) -> bool:
                latest[field] = value
                return latest.keys() >= set(self.fields) and self(latest)

            return holds

        return {field: ask(field) for field in self.fields}


def _checked(node: ast.expr, text: str) -> Iterator[str]:
    """The fields in a condition, every part of which is checked."""
    match node:
        case ast.BoolOp(values=parts):
            for part in parts:
                yield from _checked(part, text)
        case ast.UnaryOp(op=ast.Not(), operand=part):
            yield from _checked(part, text)
        case ast.Compare(left=left, ops=ops, comparators=others) if all(type(op) in _COMPARISONS for op in ops):
            for part in (left, *others):
                if (name := _field(part)) is not None:
                    yield name
                elif _number(part) is None:
                    raise _unfit(text)
        case _:
            raise _unfit(text)


def _value(node: ast.expr, values: Mapping[str, Any]) -> Any:
    match node:
        case ast.BoolOp(op=ast.And(), values=parts):
            return all(_value(part, values) for part in parts)
        case ast.BoolOp(values=parts):
            return any(_value(part, values) for part in parts)
        case ast.UnaryOp(op=ast.Not(), operand=part):
            return not _value(part, values)
        case ast.Compare(left=left, ops=ops, comparators=others):
            sides = [_side(part, values) for part in (left, *others)]
            return all(_COMPARISONS[type(op)](a, b) for op, a, b in zip(ops, sides, sides[1:]))
    raise AssertionError(node)


def _side(node: ast.expr, values: Mapping[str, Any]) -> Any:
    name = _field(node)
    return values[name] if name is not None else _number(node)


def _field(node: ast.expr) -> str | None:
    """The name of a field, dotted where it is the end of a path."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        above = _field(node.value)
        return None if above is None else f"{above}.{node.attr}"
    return None


def _number(node: ast.expr) -> float | None:
    """A number, which may have a sign."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        number = _number(node.operand)
        return None if number is None else -number if isinstance(node.op, ast.USub) else number
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return node.value
    return None


def _unfit(text: str) -> BadSetting:
    shown = text if len(text) <= 60 else f"{text[:57]}..."
    return BadSetting(
        f"{shown!r} is not a condition on fields; comparisons of fields and numbers would fit, such as 'loss != loss' "
        f"or 'epsilon < 0.5 and loss > 2'."
    )
