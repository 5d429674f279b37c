"""What a hook raises to leave an event early."""

from __future__ import annotations


class Cancel(BaseException):
    """Leave the named event now: no `after_` hooks, `finally_` hooks of all that is left, no failure.

    `raise Cancel()` leaves the event whose hook raises it; `raise Cancel("pass")` the rest of the pass,
    `raise Cancel("run", "diverged")` the whole run of the loop; an event of a loop further out may be named too, the
    nearest one of that name is meant. It is no `Exception`, so that `except Exception` in a hook lets it through.
    """

    def __init__(self, event: str | None = None, reason: str = "", *, met: bool = False, by: str = "") -> None:
        super().__init__(event, reason)
        self.event = event
        self.reason = reason
        self._met = met  # whether its event was found to be running
        self._by = by  # who is named instead of the hook that raised it
