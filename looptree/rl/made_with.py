"""Made with: what a learner was made with as plain data, and the learner made again from that.

Data that has come from somewhere else makes nothing but what looptree and Gymnasium bring: an algorithm goes by its
name among looptree's own, and of another's modules only those are imported that the user names.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from looptree.core.errors import BadSetting
from looptree.rl.agent import Callbacks
from looptree.rl.algorithms import ALGORITHMS, Algorithm
from looptree.rl.errors import NamesModule
from looptree.rl.learner import Learner
from looptree.rl.settings import plain, settings_from

_KINDS = {"env_id": str, "seed": int, "settings": dict}


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
    """A learner with the environment, the settings and the seed that `made` has, and these callbacks.

    Raises what `made_again` does.
    """
    if not all(isinstance(made.get(name), kind) for name, kind in _KINDS.items()):
        raise BadSetting("this is not what looptree train writes.")
    if made["seed"] < 0:
        raise BadSetting(f"seed {made['seed']}: a whole number of 0 or more would fit.")
    settings = settings_from(algorithm.settings, made["settings"])
    if wrappers is not None:
        settings = dataclasses.replace(settings, wrappers=tuple(wrappers))
    else:
        _refuse_modules("wrappers", settings.wrappers)
    if env_id is None:
        _refuse_modules("env_id", [made["env_id"]])
    make: Callable[..., Learner] = algorithm.learner
    return make(env_id or made["env_id"], settings, cbs, seed=made["seed"])


def _refuse_modules(name: str, texts: Sequence[str]) -> None:
    """Whatever is not plainly a name of Gymnasium's own is taken for one of a module."""
    if any(":" in text.partition("(")[0] for text in texts):
        flag, words = f"--{name.replace('_', '-')}", " ".join(map(repr, texts))
        raise NamesModule(
            f"It is of {' '.join(texts)}, and a module is imported only if you name it yourself: {flag} {words} would "
            f"fit (in Python, {name}=), if you trust that."
        )
