"""EarlyStop: end a loop when a score has stopped getting better."""

from __future__ import annotations

import math
from typing import Any, Literal

from looptree.callbacks.fields import find_owner
from looptree.core.callback import Callback
from looptree.core.errors import BadSetting, listed
from looptree.core.phase import as_phases


class EarlyStop(Callback):
    """Stops its loop once `field` has not got better for `patience` passes running.

        Learner(cbs=EarlyStop("valid_loss", patience=3))
        DQN(cbs=EarlyStop("valid_return", patience=5, mode="max", phase="valid"))

    After each pass the score of that moment is compared with the best before it in this run. A score of None has not
    been measured yet and is passed over, and so is NaN before the first number; after that NaN is never better. Every
    run begins anew, but for one that goes on from a loaded state.

    Args:
        field: the score: a name, or the end of a path; the loop or callback that has it (see `find_owner`) is found
            when a run begins.
        patience: passes without improvement after which to stop.
        mode: "min" where lower is better, "max" where higher is.
        min_delta: by how much a score must beat the best to be better.
        phase: look only after passes in which this phase of the loop ran: those in which the score is measured.

    Raises:
        BadSetting: a value that does not fit; when a run begins, a phase that the loop does not have.
        NoSuchField: when a run begins, where no loop or callback of the tree has the field.
    """

    def __init__(
        self,
        field: str,
        patience: int = 1,
        mode: Literal["min", "max"] = "min",
        min_delta: float = 0.0,
        phase: str | None = None,
    ) -> None:
        if not isinstance(patience, int) or patience < 1:
            raise BadSetting(f"EarlyStop(patience={patience!r}): patience counts passes, so 1, 2, 3... would fit.")
        if mode not in ("min", "max"):
            raise BadSetting(f"EarlyStop(mode={mode!r}): 'min' or 'max' would fit.")
        if not min_delta >= 0:
            raise BadSetting(f"EarlyStop(min_delta={min_delta!r}): 0 or a positive number would fit.")
        self.field = field
        self.patience = patience
        self.mode = mode
        self.min_delta = min_delta
        self.measured_in = phase
        self._owner: Any = None
        self._every = 1
        self._best: float | None = None
        self._worse = 0
        self._resumed = False

    def before_run(self) -> None:
        """Begin anew; find whose field it is, and in which passes it is measured."""
        if not self._resumed:
            self._best, self._worse = None, 0
        self._resumed = False
        self._owner = find_owner(self.loop, self.field)
        if self.measured_in is not None:
            self._every = self._phase_every(self.measured_in)

    def after_pass(self, _order: int = 1000) -> None:
        """Look at the score, when all other hooks of the pass have run."""
        given = getattr(self._owner, self.field.rpartition(".")[2], None)
        measured = self._every and (self.loop.count + 1) % self._every == 0
        if given is None or not measured:
            return
        score = float(given)
        if math.isnan(score) and self._best is None:
            return
        if self._is_better(score):
            self._best = score
            self._worse = 0
            return
        self._worse += 1
        if self._worse >= self.patience:
            self.loop.stop(f"no improvement in {self.patience} {self._unit()}")

    def finally_run(self) -> None:
        """Forget whose field it is: the tree may be another one in the next run."""
        self._owner = None

    def _is_better(self, score: float) -> bool:
        if math.isnan(score):
            return False
        if self._best is None:
            return True
        gain = self._best - score if self.mode == "min" else score - self._best
        return gain > self.min_delta

    def _phase_every(self, name: str) -> int:
        """In every how many passes a phase runs; 0 where this run leaves it out."""
        phases = as_phases(self.loop.phases)
        if name not in [phase.name for phase in phases]:
            fits = f"its phases are {listed(phase.name for phase in phases)}" if phases else "it has no phases"
            raise BadSetting(f"EarlyStop(phase={name!r}) on {self.loop.name}: {fits}.")
        return next((phase.every for phase in self.loop.plan.phases if phase.name == name), 0)

    def _unit(self) -> str:
        """What is counted, in the plural where it is several: phases where one was named, else passes, called by the
        loop's event where it has just one."""
        unit = "pass"
        events = {event.name for phase in self.loop.plan.phases for event in phase.events}
        if self.measured_in is not None:
            unit = f"{self.measured_in} phase"
        elif len(events) == 1:
            unit = str(*events)
        if self.patience == 1:
            return unit
        return f"{unit}es" if unit.endswith(("s", "x", "sh", "tch")) else f"{unit}s"

    def state_dict(self) -> dict[str, Any]:
        """The best score so far (None before the first) and for how many passes none was better."""
        return {"best": self._best, "worse": self._worse}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        self._best = state["best"]
        self._worse = state["worse"]
        self._resumed = True
