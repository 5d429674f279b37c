"""Wrappers by name: what a single environment is to wear, as a word on a command line or in a file says it."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import gymnasium

from looptree.core.errors import BadSetting, listed, nearest
from looptree.rl.errors import UnfitEnvironment, UnknownWrapper

_MEASURING = {
    gymnasium.wrappers.NormalizeObservation: "normalise_observations",
    gymnasium.wrappers.NormalizeReward: "normalise_rewards",
}


@dataclass(frozen=True)
class NamedWrapper:
    """A wrapper and its arguments, to be put around environments."""

    text: str
    wrapper: type[gymnasium.Wrapper[Any, Any, Any, Any]]
    positional: tuple[Any, ...]
    named: dict[str, Any]

    def __call__(self, environment: gymnasium.Env[Any, Any]) -> gymnasium.Env[Any, Any]:
        """The environment in its wrapper.

        Raises `UnfitEnvironment` where the wrapper refuses the environment or its own arguments.
        """
        try:
            return self.wrapper(environment, *self.positional, **self.named)
        except Exception as error:
            raise UnfitEnvironment(
                f"The wrapper {self.text!r} cannot be put around {environment}: {type(error).__name__}: {error}"
            ) from error


def wrapper_named(text: str) -> NamedWrapper:
    """The wrapper that `text` names: a class of `gymnasium.wrappers`, or with its module before a colon any other.

        "TimeAwareObservation"
        "FrameStackObservation(stack_size=4)"
        "my_package.my_wrappers:Slippery(0.1, seed=None)"

    Arguments are literals: numbers, strings, True, False, None, and lists, tuples, sets and dicts of those. Nothing is
    evaluated; a module that is named is imported.

    Raises `UnknownWrapper`, with the nearest name, where there is no such class, and `BadSetting` where its arguments
    are no literals, or are not those that the class takes.
    """
    name = text.partition("(")[0].strip()
    wrapper = _wrapper(name)
    positional, named = _arguments(text.strip().removeprefix(name), text)
    signature = inspect.signature(wrapper)
    try:
        signature.bind("environment", *positional, **named)
    except TypeError as error:
        takes = list(signature.parameters)[1:]
        close = next((near for key in named if key not in takes and (near := nearest(key, takes))), None)
        hint = f"nearest is {close!r}" if close else f"{listed(takes)} would fit" if takes else "it takes none"
        raise BadSetting(f"wrapper {text!r}: {error}; {hint}.") from error
    return NamedWrapper(text, wrapper, positional, named)


def refuse_measuring(texts: Iterable[str]) -> None:
    """Raise `BadSetting` where one of the wrappers that a learner's environments are to wear scales by what it has
    measured, and what `wrapper_named` raises."""
    for text in texts:
        wrapper = wrapper_named(text).wrapper
        for kind, setting in _MEASURING.items():
            if issubclass(wrapper, kind):
                raise BadSetting(
                    f"wrapper {text!r}: each environment would measure for itself, and those of an evaluation from the "
                    f"beginning, so that what is evaluated is not what is learnt. {setting}=True, a setting of PPO and "
                    f"A2C, measures once for all of them."
                )


def _wrapper(name: str) -> type[gymnasium.Wrapper[Any, Any, Any, Any]]:
    """The class of a name."""
    module_name, colon, class_name = name.rpartition(":")
    module = _module(module_name, class_name) if colon else gymnasium.wrappers
    try:
        found = getattr(module, class_name, None)
    except ImportError as error:  # Gymnasium loads some of its wrappers, with what they need, only now
        raise UnknownWrapper(f"The wrapper {class_name!r} cannot be loaded here: {error}") from error
    if isinstance(found, type) and issubclass(found, gymnasium.Wrapper):
        return found
    close = nearest(class_name, _wrappers_of(module))
    hint = f"nearest is {close!r}." if close else "A wrapper of one's own has its module before it: 'module:Class'."
    raise UnknownWrapper(f"{module.__name__} has no wrapper {class_name!r}; {hint}")


def _module(name: str, class_name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except (ImportError, ValueError, TypeError) as error:  # the latter two: no name, or one that begins with a dot
        raise UnknownWrapper(
            f"{name!r}, which is to have the wrapper {class_name!r}, cannot be imported: {error}. A module on Python's "
            f"path before the colon would fit."
        ) from error


def _wrappers_of(module: ModuleType) -> list[str]:
    """The names of the wrappers in a module; those of Gymnasium without loading them."""
    if module is gymnasium.wrappers:
        return [name for name in gymnasium.wrappers.__all__ if name[0].isupper()]
    members = inspect.getmembers(module, inspect.isclass)
    return [name for name, member in members if issubclass(member, gymnasium.Wrapper)]


def _arguments(brackets: str, text: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What stands in the brackets that follow the name in `text`, if there are any."""
    try:
        call = ast.parse(f"wrapper{brackets}", mode="eval").body
        if isinstance(call, ast.Name):
            return (), {}
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name):
            positional = tuple(ast.literal_eval(value) for value in call.args)
            return positional, {_keyword(each): ast.literal_eval(each.value) for each in call.keywords}
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError) as error:
        raise _unreadable(text) from error
    raise _unreadable(text)


def _keyword(argument: ast.keyword) -> str:
    if argument.arg is None:
        raise ValueError("** stands for keywords that are written out nowhere")
    return argument.arg


def _unreadable(text: str) -> BadSetting:
    return BadSetting(
        f"wrapper {text!r} cannot be read; a name with literals in brackets would fit: "
        f"'FrameStackObservation(stack_size=4)'."
    )
