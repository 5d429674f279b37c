"""Options: what stands on the command line after the command, as the settings of an algorithm."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_args, get_type_hints

import tyro

from looptree.cli.usage import COMMANDS, HELP_FLAGS, UsageError, what_fits
from looptree.core.errors import BadSetting, listed, nearest
from looptree.rl.algorithms import ALGORITHMS, Algorithm
from looptree.rl.environments import Vectorization
from looptree.rl.presets import PRESETS

_SHORT_FLAGS = {"total_env_steps": "steps"}

_SOME_NAMES = (tuple[str, ...], tuple[str, ...] | None)
_KINDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    float | None: "a number",
    tuple[int, ...]: "whole numbers with spaces between",
    Vectorization: f"one of {listed(get_args(Vectorization))}",
    str | None: "a path",
    str: "names with commas between",
    **dict.fromkeys(_SOME_NAMES, "names with spaces between"),
}

RunFolder = Annotated[
    tyro.conf.Positional[Path | None], tyro.conf.arg(metavar="RUN", help="The folder of a run.", help_behavior_hint="")
]
"""An option that is the first word behind a command."""

_SEED = ("seed", Annotated[int, tyro.conf.arg(help="Where all random numbers of the run come from.")], 0)
_OUT = (
    "out",
    Annotated[
        str | None,
        tyro.conf.arg(help="Folder of the run. Without: a new one in runs.", metavar="DIR"),
    ],
    None,
)
_FIELDS = (
    "fields",
    Annotated[str, tyro.conf.arg(help="Fields to trace, with commas between: epsilon,loss. Without: all.")],
    "",
)
_RECORDED = (
    "fields",
    Annotated[str, tyro.conf.arg(help="Fields to keep every change of, with commas between. Without: a few.")],
    "",
)
_CHECKPOINTS = (
    "checkpoint_every_s",
    Annotated[float, tyro.conf.arg(help="Seconds between two checkpoints. 0: none, so that it cannot be resumed.")],
    60.0,
)
_STOP_IF = (
    "stop_if",
    Annotated[
        str, tyro.conf.arg(help="End the run where this holds: 'loss != loss', or 'epsilon < 0.5 and loss > 2'.")
    ],
    "",
)
_OWN_OPTIONS = {
    "train": (_SEED, _OUT, _RECORDED, _CHECKPOINTS),
    "describe": (),
    "profile": (_SEED,),
    "trace": (_SEED, _FIELDS, _STOP_IF),
}


class Options(NamedTuple):
    """A command line that fits: the algorithm with its settings and environment, and the command's own options."""

    algorithm_name: str
    algorithm: Algorithm
    env_id: str
    settings: Any
    seed: int = 0
    out: Path | None = None
    fields: tuple[str, ...] = ()
    stop_if: str = ""
    checkpoint_every_s: float = 0.0


def read_options(command: str, words: list[str]) -> Options:
    """What the words after a command say.

    Raises:
        UsageError: a word does not fit.
    """
    name, env_id, rest = _positional(command, words)
    algorithm = ALGORITHMS[name]
    defaults = PRESETS.settings(name, env_id, algorithm.settings)
    given = parsed(command, _option_class(command, algorithm, defaults), rest, behind=f" {name} {env_id}")
    chosen = {field.name: getattr(given, field.name) for field in dataclasses.fields(algorithm.settings)}
    try:
        settings = algorithm.settings(**chosen)
    except BadSetting as error:
        raise UsageError(_with_flags(str(error), algorithm.settings)) from error
    seed = getattr(given, "seed", 0)
    if seed < 0:
        raise UsageError(f"--seed {seed}: a whole number of 0 or more would fit.")
    fields, stop_if = field_names(getattr(given, "fields", "")), getattr(given, "stop_if", "")
    every_s = checked_every_s(getattr(given, "checkpoint_every_s", 0.0))
    out = getattr(given, "out", None)
    if out == "":  # which would be the working directory
        raise UsageError("--out without a value: a path would fit.")
    folder = Path(out) if out else None
    return Options(name, algorithm, env_id, settings, seed, folder, fields, stop_if, every_s)


def checked_every_s(checkpoint_every_s: float) -> float:
    """The seconds between two checkpoints, 0 for none.

    Raises:
        UsageError: they are something else.
    """
    if not checkpoint_every_s >= 0:
        raise UsageError(f"--checkpoint-every-s {checkpoint_every_s:g}: seconds would fit, 0 for no checkpoints.")
    return checkpoint_every_s


def field_names(text: str) -> tuple[str, ...]:
    """The names of fields that stand in an option, with commas between."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _positional(command: str, words: list[str]) -> tuple[str, str, list[str]]:
    """The algorithm, the environment, and the options behind them."""
    example = f"looptree {command} dqn CartPole-v1"
    if words and words[0] in HELP_FLAGS:
        print(_help(command))
        raise SystemExit(0)
    if not words or words[0].startswith("-"):
        raise UsageError(f"{command} is followed by an algorithm ({listed(ALGORITHMS)}) and an environment: {example}")
    name, *rest = words
    if name not in ALGORITHMS:
        raise UsageError(f"there is no algorithm {name!r}; {what_fits(name, ALGORITHMS)}")
    if rest and rest[0] in HELP_FLAGS:
        return name, "ENVIRONMENT", rest
    if not rest or rest[0].startswith("-"):
        raise UsageError(f"{command} {name} is followed by an environment: {example}")
    return name, rest[0], rest[1:]


def _help(command: str) -> str:
    """What there is to know of a command before an algorithm is named."""
    return "\n".join(
        [
            f"usage: looptree {command} ALGORITHM ENVIRONMENT [OPTIONS]",
            *(["       looptree trace RUN [OPTIONS]"] if command == "trace" else []),
            "",
            _description(command),
            "",
            f"algorithms: {', '.join(ALGORITHMS)}",
            f"all options: looptree {command} dqn CartPole-v1 --help",
        ]
    )


def _description(command: str) -> str:
    meaning = COMMANDS[command]
    return f"{meaning[0].upper()}{meaning[1:]}."


def _option_class(command: str, algorithm: Algorithm, defaults: Any) -> type[Any]:
    """A dataclass of all options of a command: the settings with their defaults, then the command's own.

    The settings are checked when the real ones are made of it, so that the message can be about options.
    """
    steps = [
        (name, Annotated[int, tyro.conf.arg(name=flag)], getattr(defaults, name)) for name, flag in _SHORT_FLAGS.items()
    ]
    kinds = get_type_hints(algorithm.settings)
    others = [
        (field.name, kinds[field.name], getattr(defaults, field.name))
        for field in dataclasses.fields(algorithm.settings)
        if field.name not in _SHORT_FLAGS
    ]
    fields = [
        (name, kind, dataclasses.field(default=default))
        for name, kind, default in (*steps, *others, *_OWN_OPTIONS[command])
    ]
    unchecked = {"__post_init__": lambda self: None}
    return dataclasses.make_dataclass("Options", fields, bases=(algorithm.settings,), frozen=True, namespace=unchecked)


def parsed(command: str, option_class: type[Any], words: list[str], behind: str = "") -> Any:
    """The options as tyro reads them, of a command with something behind it that is read already; what it complains of
    becomes one sentence."""
    program = f"looptree {command}{behind}"
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            given, unknown = tyro.cli(
                option_class, args=words, prog=program, description=_description(command), return_unknown_args=True
            )
    except SystemExit as stop:
        if stop.code:
            raise UsageError(_explained(_sentence(complaint.getvalue()), option_class, words)) from None
        raise
    if unknown:
        flags = [_flag(field.name) for field in dataclasses.fields(option_class)]
        close = nearest(unknown[0].partition("=")[0], flags)
        hint = f"nearest is {close}." if close else f"{program} --help lists all."
        raise UsageError(f"there is no option {unknown[0]!r}; {hint}")
    for name, kind in get_type_hints(option_class).items():
        if kind in _SOME_NAMES and getattr(given, name) == () and _flag(name) in words:
            raise UsageError(f"{_flag(name)} without a value: {_KINDS[kind]} would fit.")
    return given


def given_run(command: str, folder: Path | None) -> Path:
    """The folder that stands behind a command.

    Raises:
        UsageError: there is none.
    """
    if folder is None:
        example = f"looptree {command} RUN, which looptree train made"
        raise UsageError(f"{command} is followed by the folder of a run: {example}")
    return folder


def _explained(complaint: str, option_class: type[Any], words: list[str]) -> str:
    """What would fit the option that tyro complains of, if it is one of whose values we know the kind."""
    for name, annotation in get_type_hints(option_class).items():
        flag, kind = _flag(name), _KINDS.get(annotation)
        if kind and re.search(rf"{flag}(?![-\w])", complaint):
            given = " ".join(words).partition(flag)[2].partition("--")[0].strip(" =")
            return f"{flag} {given or 'without a value'}: {kind} would fit."
    return complaint


def _sentence(box: str) -> str:
    """What stands in the box that tyro draws around a complaint, up to the rule above its advice."""
    text = re.sub(r"^[│╭╰].*?[─]*[╮╯]$|[│]", lambda found: found[0].strip("│╭╮╰╯─ ") and " ", box, flags=re.MULTILINE)
    return " ".join(re.split(r"─{3,}", text)[0].split())


def _with_flags(message: str, settings: type[Any]) -> str:
    """A message about settings as one about options: `DQNSettings(gamma=2): ...` is `--gamma 2: ...`."""
    text = message.removeprefix(f"{settings.__name__}(").replace("): ", ": ", 1)
    for field in dataclasses.fields(settings):
        text = re.sub(rf"\b{field.name}=", f"{_flag(field.name)} ", text)
        text = re.sub(rf"(?<![-\w]){field.name}\b", _flag(field.name), text)
    return text


def _flag(name: str) -> str:
    return "--" + _SHORT_FLAGS.get(name, name).replace("_", "-")
