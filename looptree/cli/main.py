"""main: the command `looptree`, and the statuses with which it exits.

    0    done; a live report, by Ctrl-C
    1    something failed while it ran, and the traceback is on standard error; or a disk did not take what was to be
         written, and where it is instead is said there; or standard output could not be written
    2    the command line does not fit; one sentence on standard error says what would
    130  interrupted by Ctrl-C
    143  ended by SIGTERM

Nothing but the standard library is loaded before a command is known to need it.
"""

from __future__ import annotations

import contextlib
import importlib
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from importlib import metadata
from types import FrameType

from looptree.cli.output import OutputFailed, give_up, told_apart
from looptree.cli.plain import plain
from looptree.cli.usage import COMMANDS, HELP_FLAGS, UsageError, what_fits
from looptree.core.errors import listed

HELP = "\n".join(
    [
        "usage: looptree COMMAND ALGORITHM ENVIRONMENT [OPTIONS]",
        "       looptree resume RUN, looptree play RUN, looptree runs [FOLDER]",
        "       looptree trace RUN, looptree why RUN FIELD",
        "       looptree report RUN [RUN ...], looptree report --live RUN",
        "       looptree presets [ALGORITHM], looptree --version",
        "",
        *(f"  {name:10}{meaning}" for name, meaning in COMMANDS.items()),
        "",
        "All options of a command: looptree train dqn CartPole-v1 --help",
    ]
)

_TERMINATED = 128 + signal.SIGTERM


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out a command line, by default that of the process, and return the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with _sigterm_raises(), told_apart():
            return _run(words)
    except UsageError as error:
        print(f"looptree: {plain(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("looptree: interrupted by Ctrl-C", file=sys.stderr)
        return 130
    except SystemExit as end:
        if end.code != _TERMINATED:
            raise
        print("looptree: ended by SIGTERM", file=sys.stderr)
        return _TERMINATED
    except OutputFailed as failed:
        give_up()
        if not isinstance(failed.error, BrokenPipeError):  # whoever reads it wants no more
            print(f"looptree: {failed}", file=sys.stderr)
        return 1
    except Exception:
        traceback.print_exc()
        return 1


@contextlib.contextmanager
def _sigterm_raises() -> Iterator[None]:
    """For as long as this `with` lasts, SIGTERM ends what runs by an exception, as Ctrl-C does: `finally` blocks run.
    Only the main thread hears of signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise SystemExit(_TERMINATED)


def _run(words: list[str]) -> int:
    if words[:1] == ["--version"]:
        print(f"looptree {metadata.version('looptree')}")
        return 0
    if words and words[0] in ("help", *HELP_FLAGS):
        print(HELP)
        return 0
    if not words:
        raise UsageError(f"a command is missing: {listed(COMMANDS)} would fit; looptree --help tells more.")
    command, *rest = words
    if command not in COMMANDS:
        raise UsageError(f"there is no command {command!r}; {what_fits(command, COMMANDS)}")
    try:
        commands = importlib.import_module("looptree.cli.commands")
    except ModuleNotFoundError as error:
        raise UsageError(f"{command} needs the package {error.name!r}: pip install 'looptree[cli]'") from error
    try:
        status: int = commands.run(command, rest)
    except SystemExit as end:
        if end.code:
            raise
        return 0  # the help of a command
    return status
