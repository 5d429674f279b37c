"""The errors of reinforcement learning: environments, spaces, memories and losses that do not fit."""

from __future__ import annotations

from looptree.core.errors import LooptreeError


class UnknownEnvironment(LooptreeError):
    """No environment is registered under the id that was given."""


class UnknownWrapper(LooptreeError):
    """There is no wrapper of the name that was given."""


class NamesModule(LooptreeError):
    """Data that may have come from anywhere names a module, which is not imported for that."""


class EnvironmentUnavailable(LooptreeError):
    """An environment is registered, but cannot be made here: a package that it needs is missing, or it is
    outdated."""


class EnvironmentBroken(LooptreeError):
    """An environment in a process of its own breaks again and again, or broke when asked for what only it could
    answer; the message has its traceback, or how its process ended."""


class EnvironmentRestarted(UserWarning):
    """An environment in a process of its own broke, and was begun anew; the message has its traceback, or how its
    process ended."""


class UnfitEnvironment(LooptreeError):
    """An environment's spaces, or the way in which it resets itself, do not fit what is to use them; or what it gives
    does not fit its spaces."""


class EnvironmentStateError(LooptreeError):
    """An environment holds something that cannot be saved as plain arrays, numbers and strings."""


class EnvironmentNotSaved(UserWarning):
    """A state was taken of a run, but not of its environments; the message says why, and what follows."""


class EmptyMemory(LooptreeError):
    """A batch was asked of a memory in which nothing has been stored."""


class NoGradient(LooptreeError):
    """A loss has nothing behind it by which its gradient could be found."""


class NotFinite(LooptreeError, ArithmeticError):
    """An observation, a reward, a loss or a gradient is NaN or infinite; the message says where the first such number
    came from. Nothing has been learnt from it."""
