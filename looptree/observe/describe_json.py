"""A plan as JSON."""

from __future__ import annotations

import json
import math
from typing import Any

from looptree.core.hook import PhaseFilter
from looptree.core.plan import CallPlan, EventPlan, LoopPlan, PhasePlan, Step


def json_text(plan: LoopPlan) -> str:
    """The whole plan, with the names of its classes, two spaces a level."""
    return json.dumps(_loop(plan) | {"fields": _fields(plan)}, indent=2, ensure_ascii=False) + "\n"


def _loop(plan: LoopPlan) -> dict[str, Any]:
    return {
        "name": plan.name,
        "path": plan.path,
        "class": plan.label,
        "source": plan.source,
        "times": "endless" if plan.times == math.inf else plan.times,
        "own_items": plan.own_items,
        "remarks": list(plan.remarks),
        "produces": plan.produces,
        "call_on": list(plan.call_on),
        "callbacks": [{"name": cb.name, "class": cb.label, "source": cb.source} for cb in plan.callbacks],
        "run": _event(plan.run),
        "pass": _event(plan.pass_),
        "phases": [_phase(phase) for phase in plan.phases],
        "inner_loops": [_loop(inner) for inner in plan.inner_loops],
    }


def _phase(phase: PhasePlan) -> dict[str, Any]:
    return {
        "name": phase.name,
        "every": phase.every,
        "switch": _step(phase.switch) if phase.switch is not None else None,
        "phase": _event(phase.frame),
        "events": [_event(event) for event in phase.events],
    }


def _event(event: EventPlan) -> dict[str, Any]:
    moments = {
        "before": event.before,
        "on": event.on,
        "after": event.after,
        "failed": event.failed,
        "finally": event.finally_,
    }
    return {"name": event.name} | {moment: [_step(step) for step in steps] for moment, steps in moments.items()}


def _step(step: Step) -> dict[str, Any]:
    when = {"phase": _phases(step.phase), "every": step.every}
    if isinstance(step, CallPlan):
        return {"calls": step.loop, "key": step.key, **when}
    return {
        "hook": step.name,
        "key": step.key,
        "label": step.label,
        "owner": step.owner,
        "source": step.source,
        "order": step.order,
        **when,
        "instead_of": _step(step.replaces) if step.replaces is not None else None,
        "reads": list(step.reads),
        "writes": list(step.writes),
    }


def _phases(phase: PhaseFilter) -> list[str] | None:
    return [phase] if isinstance(phase, str) else None if phase is None else list(phase)


def _fields(plan: LoopPlan) -> list[dict[str, Any]]:
    return [
        {
            "owner": field.owner,
            "name": field.name,
            "declared": field.declared,
            "readers": list(field.readers),
            "writers": list(field.writers),
        }
        for field in plan.fields
    ]
