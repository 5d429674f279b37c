"""What Gymnasium knows under an id: its own environments, those of a module named before the id, and those that an
installed package declares."""

from __future__ import annotations

import contextlib
import difflib
import functools
import importlib
from importlib.metadata import EntryPoint, entry_points

import gymnasium
from gymnasium.envs.registration import EnvSpec, namespace
from gymnasium.error import Error

from looptree.core.errors import listed
from looptree.rl.errors import UnknownEnvironment

_GROUP = "gymnasium.envs"
_ROOT = ("__root__", "__internal__")  # entry points whose ids have no namespace of their own


def environment_spec(env_id: str) -> EnvSpec:
    """What is registered under an id, or under the id in `module:id` once the module is imported.

    A package may register its environments by an entry point of the group "gymnasium.envs", which is a function to be
    called:

        [project.entry-points."gymnasium.envs"]
        acme = "acme.environments:register"

    Its name stands before each of the ids, as in "acme/Walk-v0"; the name "__root__" does not. Entry points are looked
    at when an id is not known without them.

    Raises `UnknownEnvironment`, with the nearest ids that would fit, and where the module cannot be imported.
    """
    module, _, name = env_id.rpartition(":")
    failures = []
    if module:
        _import(module, name)
    elif name not in gymnasium.registry:
        failures = _register_what_packages_declare(name)
    try:
        return gymnasium.spec(name)
    except (Error, ImportError) as error:
        hints = " ".join([_hint(name, module), *failures])
        raise UnknownEnvironment(f"No environment is registered as {name!r}. {hints}") from error


def _import(module: str, name: str) -> None:
    try:
        importlib.import_module(module)
    except ImportError as error:
        raise UnknownEnvironment(
            f"{module!r}, which is to register {name!r}, cannot be imported: {error}. A module on Python's path before "
            f"the colon would fit."
        ) from error


def _register_what_packages_declare(name: str) -> list[str]:
    """Let the entry points that may be for an id register it, and say which of them failed."""
    wanted = (name.rpartition("/")[0], *_ROOT)
    found = [_registered(entry) for entry in entry_points(group=_GROUP) if entry.name in wanted]
    return [failure for failure in found if failure]


@functools.cache
def _registered(entry: EntryPoint) -> str:
    """Call what an entry point names, once in a process; a sentence where that fails."""
    # Gymnasium's namespace would not end with an exception, so that none may leave it.
    with contextlib.nullcontext() if entry.name in _ROOT else namespace(entry.name):
        try:
            entry.load()()
        except Exception as error:
            return f"The entry point {entry.name} = {entry.value!r} failed: {type(error).__name__}: {error}."
    return ""


def _hint(name: str, module: str) -> str:
    names = {name.lower(): name for name in gymnasium.registry}
    close = [names[name] for name in difflib.get_close_matches(name.lower(), names, n=3)]
    if close:
        return f"The nearest ids are {listed(close)}."
    if module:
        return f"Importing {module!r} does not register it."
    return "Import the package that registers it, or name that too: 'package:Name-v0'."
