"""A slow, obvious interpreter of `loop.plan`, to compare the generated code with.

It walks the plan and calls the hooks by name. Nothing is raised from level to level: what leaves a level is returned,
as an exception or as `NextItem`, or None where the level ended well.
"""

from dataclasses import dataclass, field

from looptree import Cancel
from looptree.core.errors import CannotRecover, UnknownEvent
from looptree.core.plan import CallPlan, EventPlan, HookPlan, LoopPlan


class NextItem:
    """What leaves a level whose failure was recovered: its loop takes the next item."""


@dataclass
class Frame:
    """One run of one loop."""

    plan: LoopPlan
    called_in: str | None  # the phase of the loop around it
    phase: str | None
    index: int = -1
    in_pass: bool = False
    error: BaseException | None = None
    recovered: BaseException | None = None  # the error that was to end here
    stopped: tuple[str, str] | None = None


@dataclass
class Interpreter:
    """Runs plans. `counts` has the passes done by path of loop, `ended` how the last run of each ended and by whom."""

    counts: dict[str, int] = field(default_factory=dict)
    ended: dict[str, tuple[str, str]] = field(default_factory=dict)
    frames: list[Frame] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    hooks: list[HookPlan] = field(default_factory=list)
    raised_by: list[tuple[BaseException, str]] = field(default_factory=list)
    noted: list[tuple[BaseException, BaseException]] = field(default_factory=list)  # first errors with second ones
    strayed: bool = False  # a Cancel came out of a failed_ or finally_ hook, of which the contract says nothing

    # what the hooks ask for while they run

    @property
    def frame(self):
        return self.frames[-1]

    def stop(self, name, reason):
        """As `loop.stop(reason)`, of the running loop of that name and of those inside it that are running."""
        names = [frame.plan.name for frame in self.frames]
        for frame in self.frames[names.index(name) :]:
            frame.stopped = (self.hooks[-1].label, reason)

    def recover(self, name):
        """As `loop.recover()`, of the running loop of that name."""
        error = self.frame.error
        if not isinstance(error, Exception):
            raise CannotRecover
        names = [frame.plan.name for frame in self.frames]
        self.frames[names.index(name)].recovered = error

    # loops

    def run(self, plan, phase=None):
        """Run a loop; what leaves it."""
        frame = Frame(plan, phase, phase)
        self.frames.append(frame)
        self.counts.setdefault(plan.path, 0)
        self.ended.pop(plan.path, None)
        left = self.level("run", plan.run, self.passes)
        self.ended.setdefault(plan.path, ("ran", ""))
        self.frames.pop()
        return left

    def passes(self):
        """All passes of the current run."""
        frame = self.frame
        plan = frame.plan
        for index in range(1 if plan.times is None else plan.times):
            if self.is_stopped():
                return None
            frame.index, frame.in_pass = index, True
            left = self.level("pass", plan.pass_, self.phases)
            if left is None or isinstance(left, Cancel):
                self.counts[plan.path] += 1
                frame.in_pass = False
            if left is not None:
                return left
        self.is_stopped()
        return None

    def is_stopped(self):
        """Whether the current run was asked to end after this pass."""
        if self.frame.stopped:
            self.ended[self.frame.plan.path] = ("stopped", self.frame.stopped[0])
        return bool(self.frame.stopped)

    def phases(self):
        """All phases of the current pass."""
        frame = self.frame
        for phase in frame.plan.phases:
            if not self.is_nth(phase.every):
                continue
            if phase.name is None:
                left = self.stretch(phase)
            else:
                frame.phase = phase.name
                left = self.level("phase", phase.frame, lambda phase=phase: self.stretch(phase), phase)
                frame.phase = frame.called_in
            if left is not None:
                return left
        return None

    def stretch(self, phase):
        """All events of a phase."""
        for event in phase.events:
            left = self.level(event.name, event, lambda event=event: self.steps(event.on))
            if left is not None:
                return left
        return None

    # one level

    def level(self, name: str, plan: EventPlan, body, phase=None):
        """Before, body, after; then failed, if so; then finally. What leaves the level."""
        self.events.append(name)
        left = self.hook(phase.switch, phase.name) if phase is not None else None
        if left is None:
            left = self.steps(plan.before)
        if left is None:
            left = body()
        if left is None:
            left = self.steps(plan.after)

        if isinstance(left, Cancel) and left.event is not None and left.event not in self.events:
            unknown = UnknownEvent()
            self.raised_by.append((unknown, self.label(left)))
            left = unknown
        if isinstance(left, Cancel):
            if name == "run":
                self.ended[self.frame.plan.path] = ("cancelled", self.label(left))
            if left.event in (None, name):
                left = None
        elif isinstance(left, BaseException):
            left = self.failed(name, plan, left)
        if isinstance(left, NextItem) and name in ("pass", "run"):
            left = None

        left = self.finally_(plan, left)
        if isinstance(left, BaseException) and not isinstance(left, Cancel) and name == "run":
            self.ended[self.frame.plan.path] = ("failed", self.label(left))
        self.events.pop()
        return left

    def failed(self, name, plan, error):
        """The `failed_` hooks of a level; the error, or NextItem where one of them recovered."""
        frame = self.frame
        frame.error = error
        seconds = self.all_of(plan.failed)
        self.note(error, seconds)
        if frame.recovered is not error:
            return error
        frame.error = None
        if name == "run":
            self.counts[frame.plan.path] += frame.in_pass
            self.ended[frame.plan.path] = ("recovered", self.label(error))
        interrupts = [second for first, second in self.noted if first is error and not isinstance(second, Exception)]
        return one_of(list(dict.fromkeys([*interrupts, *seconds]))) or NextItem()

    def finally_(self, plan, left):
        """The `finally_` hooks of a level; what leaves the level in the end."""
        errors = self.all_of(plan.finally_)
        if isinstance(left, BaseException) and not isinstance(left, Cancel):
            self.note(left, errors)
            return left
        return one_of(errors) or left

    def note(self, first, seconds):
        """Second errors become notes of the first."""
        for second in seconds:
            first.add_note(str(second))
            self.noted.append((first, second))

    # steps

    def steps(self, steps):
        """Run steps one after the other; what leaves the first that does not end well."""
        for step in steps:
            left = self.step(step)
            if left is not None:
                return left
        return None

    def all_of(self, steps):
        """Run all steps, whatever they raise; the errors."""
        errors = [left for left in map(self.step, steps) if left is not None]
        self.strayed |= any(isinstance(error, Cancel) for error in errors)
        return errors

    def step(self, step):
        """Run a hook or an inner loop, if it is due."""
        if not (self.is_nth(step.every) and self.is_phase(step.phase)):
            replaced = getattr(step, "replaces", None)
            return self.step(replaced) if replaced is not None else None
        if isinstance(step, CallPlan):
            (inner,) = [plan for plan in self.frame.plan.inner_loops if plan.path == step.loop]
            return self.run(inner, self.frame.phase)
        return self.hook(step)

    def hook(self, hook, *arguments):
        """Call a hook by name; what it raises."""
        self.hooks.append(hook)
        try:
            getattr(hook.target, hook.name)(*arguments)
        except BaseException as error:
            self.raised_by.append((error, hook.label))
            return error
        finally:
            self.hooks.pop()
        return None

    def is_nth(self, every):
        """Whether this is the n-th, 2n-th... pass of the loop's life."""
        return (self.counts[self.frame.plan.path] + 1) % every == 0

    def is_phase(self, phase):
        """Whether a filter lets the current phase through."""
        return phase is None or self.frame.phase in ((phase,) if isinstance(phase, str) else phase)

    def label(self, error):
        """Who raised an error; nobody in particular, where it is a group of errors."""
        return next((label for raised, label in self.raised_by if raised is error), "")


def one_of(errors):
    """What goes on where several errors have no first to be notes of."""
    if len(errors) > 1:
        return BaseExceptionGroup("several", errors)
    return errors[0] if errors else None
