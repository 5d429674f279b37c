"""The error of a command line that cannot be carried out as it was given."""

from __future__ import annotations

from looptree.core.errors import LooptreeError


class UsageError(LooptreeError):
    """A word of the command line does not fit; the message is one sentence, and says what would."""
