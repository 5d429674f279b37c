"""Made with: what a learner was made with as plain data, and the learner made again from that.

Data that has come from somewhere else makes nothing but what looptree and Gymnasium bring: an algorithm goes by its
name among looptree's own, and of another's modules only those are imported that the user names.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from looptree.core.arguments import checked_name
from looptree.core.errors import BadSetting
from looptree.rl.agent import Callbacks
from looptree.rl.algorithms import ALGORITHMS, Algorithm
from looptree.rl.errors import NamesModule
from looptree.rl.learner import Learner
from looptree.rl.seeding import checked_seed
from looptree.rl.settings import plain, settings_from


def made_with(algorithm: str, env_id: str, settings: Any, seed: int) -> dict[str, Any]:
    """What a learner of `ALGORITHMS` is made with, as JSON can hold it."""
    return {"algorithm": algorithm, "env_id": env_id, "seed": seed, "settings": plain(settings)}


def made_again(made: Any, env_id: str | None = None, wrappers: Sequence[str] | None = None) -> Learner:
    """The learner of which `made_with` told, as it was before its first pass.

    An environment or a wrapper of a module, `module:Name`, is taken from `env_id` and `wrappers` only, which stand
    for what the data says.

    Raises:
        BadSetting: `made_with` does not tell so.
        NamesModule: the data names a module, and nothing was given instead.
        UnknownEnvironment, EnvironmentUnavailable, UnknownWrapper, UnfitEnvironment: it cannot be made here.
    """
    if not isinstance(made, dict) or not isinstance(made.get("algorithm"), str):
        raise BadSetting("this is not what looptree train writes.")
    algorithm = ALGORITHMS.get(made["algorithm"])
    if algorithm is None:
        raise BadSetting(f"there is no algorithm {made['algorithm']!r}.")
    return learner_of(algorithm, made, env_id, wrappers)


def learner_of(
    algorithm: Algorithm,
    made: Mapping[str, Any],
    env_id: str | None = None,
    wrappers: Sequence[str] | None = None,
    cbs: Callbacks | None = None,
) -> Learner:
    """A learner with the environment, the settings and the seed that `made` has, with its name where there is one, and
    with these callbacks.

    Raises what `made_again` does.
    """
    if not isinstance(made.get("env_id"), str) or not isinstance(made.get("settings"), dict):
        raise BadSetting("what the learner was made with lacks its env_id or its settings.")
    seed = checked_seed(made.get("seed"))
    settings = settings_from(algorithm.settings, made["settings"])
    if wrappers is not None:
        settings = dataclasses.replace(settings, wrappers=tuple(wrappers))
    else:
        _refuse_modules("wrappers", settings.wrappers)
    if env_id is None:
        _refuse_modules("env_id", [made["env_id"]])
    make: Callable[..., Learner] = algorithm.learner
    learner = make(env_id or made["env_id"], settings=settings, cbs=cbs, seed=seed)
    if "name" in made:  # which checkpoints had not from the beginning
        learner.name = checked_name(made["name"])
    return learner


def _refuse_modules(name: str, texts: Sequence[str]) -> None:
    """Whatever is not plainly a name of Gymnasium's own is taken for one of a module."""
    if any(":" in text.partition("(")[0] for text in texts):
        flag, words = f"--{name.replace('_', '-')}", " ".join(map(repr, texts))
        raise NamesModule(
            f"It is of {' '.join(texts)}, and a module is imported only if you name it yourself: {flag} {words} would "
            f"fit (in Python, {name}=), if you trust that."
        )
