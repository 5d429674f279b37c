"""Trace: which hook changed which field, when, from what to what.

    with Trace(learner, "loss", "epsilon") as trace:
        learner.run()
    print(trace)

The generated code is rewritten to look at the traced fields after each hook; a field that is another value than at
the look before was changed by that hook.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from looptree.core.codegen import indented
from looptree.core.errors import BadSetting, LooptreeError, NoSuchField, listed, nearest
from looptree.core.loop import Loop
from looptree.core.names import free_name
from looptree.core.plan import HookPlan, LoopPlan, Step
from looptree.core.signals import Cancel
from looptree.observe.changes import Change, Moment, table, timeline
from looptree.observe.digest import NUMBERS, PLAIN, UNSET, Marks, show, snapshot
from looptree.observe.given import given_loop
from looptree.observe.records import (
    FIELD_HEADS,
    FORGOTTEN,
    NO_LOOP,
    OUTSIDE,
    Predicate,
    Record,
    Site,
    find_same,
    in_order,
    passes_around,
    sites,
)
from looptree.observe.trace_html import trace_html
from looptree.observe.traced_fields import called, check_known, is_called, known_fields, nearest_field, own_value

_NAMES_IN_USE: set[str] = set()
_count_of = operator.attrgetter("count")


class BadPredicate(LooptreeError):
    """A `stop_if` of a `Trace` raised an error when it was asked about a value."""


class Trace:
    """Records the changes of fields of `loop`, its callbacks and all below, while the `with` block lasts.

    Args:
        loop: the loop whose fields are traced; hooks of the whole tree are watched.
        fields: names of fields: `"loss"` is that field of every loop and callback that has one,
            `"source.epsilon"` that of those whose path ends in `source`. Without names: the fields of `stop_if`, and
            without those every field that the plan knows (not what every loop has, such as `index`, unless named).
        stop_if: data breakpoints: by the name of a field, a function of its new value. As soon as one returns
            something true, the run ends by a `Cancel` raised where the hook that changed the field returned, `hit` is
            the change, and `loop.ended` tells it.
        keep: most changes kept of each field; older ones are dropped, and counted.
        inside: whether to look after the hooks of the loops below, too. If not, a run of an inner loop is looked at as
            a whole, and what changes in it is put down to that loop; this costs next to nothing, and is enough for
            fields that only hooks of `loop` itself change.

    What happens outside of all hooks (in `items()`, or in the body of `for x in loop:`) is put down to the loop
    itself, what happened before the run to no one. Changes in place count: see `looptree.observe.digest`.

    Raises:
        NotALoop: something else was given, a class of loops for instance.
        NoSuchField: a name that no loop or callback there has.
        BadPredicate: in the run, when a `stop_if` itself raises an error.
    """

    def __init__(
        self,
        loop: Loop,
        *fields: str,
        stop_if: Mapping[str, Predicate] | None = None,
        keep: int = 1000,
        inside: bool = True,
    ) -> None:
        if not isinstance(keep, int) or keep < 1:
            raise BadSetting(f"Trace(keep={keep!r}): the number of changes to keep of each field, 1 or more, fits.")
        self.hit: Change | None = None
        self._loop = given_loop(loop, "Trace")
        self._stop_if = dict(stop_if or {})
        self._names = (*fields, *self._stop_if)
        self._keep = keep
        self._inside = inside
        self._own_steps: frozenset[str] = frozenset()  # of the loop itself, by key
        self._records: dict[str, Record] = {}
        self._watched: list[Record] = []
        self._sites: dict[str, Site] = {}
        self._loops: list[Any] = []
        self._marks = Marks()
        self._number = 0
        self._outermost = NO_LOOP
        self._pending: BaseException | None = None  # what ends the run, until it has ended
        self._due = False  # whether the look under way is to raise it
        self.look: Callable[[str], None] = self._look_at_all
        self._undo: Callable[[], None] | None = None
        self._code_name = ""
        check_known(self._names, loop)

    def __enter__(self) -> Self:
        if self._undo is not None:
            raise BadSetting("This Trace is tracing already; make another one to nest.")
        self._watch(self._loop.root.plan)
        self._undo = self._loop.root.watch(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._undo is not None
        self._undo()
        self._undo = None
        find_same(self._watched)
        self._marks.close()
        self._watched = []
        self.look = self._look_at_all
        for record in self._records.values():
            record.release()
        _NAMES_IN_USE.discard(self._code_name)
        self._code_name = ""

    # what was recorded

    @property
    def fields(self) -> tuple[str, ...]:
        """The traced fields, each as the path of its owner and its name."""
        return tuple(self._records)

    @property
    def changes(self) -> list[Change]:
        """The changes of all fields that are kept, in the order in which they happened."""
        return [change for _, change in in_order(self._records.values())]

    def take(self) -> list[tuple[int | None, Change]]:
        """The changes that are kept, in the order in which they happened, each with the pass of the traced loop in
        which it did, None outside of all; from now on they count as dropped."""
        own = next(place for place, loop in enumerate(self._loops) if loop is self._loop)
        taken = [(passes_around(entry).get(own), change) for entry, change in in_order(self._records.values())]
        for record in self._records.values():
            while record.entries:
                record.drop_first()
        return taken

    @property
    def dropped(self) -> int:
        """How many changes happened that are no longer kept."""
        return sum(record.dropped for record in self._records.values())

    def __getitem__(self, field: str) -> list[Change]:
        """The changes of a field, in the order in which they happened; of several owners, all together.

        Raises:
            NoSuchField: no traced field has that name.
        """
        return [change for _, change in in_order(self._named(field))]

    def writers(self, field: str) -> dict[str, int]:
        """The hooks that changed a field, with how often each did; the most frequent first.

        Raises:
            NoSuchField: no traced field has that name.
        """
        counted = Counter[str]()
        for record in self._named(field):
            counted += record.writers
        return dict(counted.most_common())

    def at(self, **passes: int) -> Moment:
        """The traced fields as they were when a pass had ended, and the changes made in it: `trace.at(update=401)`.

        Args:
            passes: the number of a pass (`count` when it began, as in `Change.at`) by the name of its loop; of
                several loops, up to the earliest of these ends. A dotted name is given as `**{"a.update": 401}`.

        A field whose changes up to there are no longer kept is left out.

        Raises:
            NoSuchField: no loop of the tree has that name.
        """
        if not passes:
            raise BadSetting("at() needs the number of a pass: at(update=401), by the name of a loop.")
        bounds = {self._loop_number(name): number for name, number in passes.items()}
        values: dict[str, Any] = {}
        for name, record in self._records.items():
            value = record.value_until(bounds)
            if value is not FORGOTTEN:
                values[name] = value
        kept = in_order(self._records.values())
        made = (change for entry, change in kept if bounds.items() <= passes_around(entry).items())
        return Moment(values, tuple(made))

    def summary(self) -> str:
        """A line for each field: how often it changed, by whom, and what it is now."""
        return "\n".join(table([FIELD_HEADS, *(record.row() for record in self._shown())]))

    def __str__(self) -> str:
        lines = [self._title(), "", self.summary()]
        changes = self.changes
        if changes:
            lines += ["", *timeline(changes)]
        if self.hit is not None:
            lines += ["", f"stopped: {self.hit}"]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        """What a notebook shows: a table of the fields with marks where they changed, and one of the changes."""
        return {"text/plain": str(self), "text/html": trace_html(self._title(), self._shown(), self.changes, self.hit)}

    def _title(self) -> str:
        total = sum(record.total for record in self._records.values())
        fields = len(self._records)
        title = f"Trace of {self._loop.path}: {_plural(fields, 'field')}, {_plural(total, 'change')}"
        if self.dropped:
            title += f" ({self.dropped:,} of them no longer kept: {self._keep:,} a field)"
        return title

    def _shown(self) -> list[Record]:
        """The fields, as they are while the trace goes on or as they were when it ended."""
        if self._undo is not None:
            find_same(self._watched)
        return list(self._records.values())

    def _named(self, field: str) -> list[Record]:
        found = [self._records[name] for name in called(field, self._records)]
        if not found:
            close = nearest_field(field, self._records)
            hint = f" Nearest is {close!r}." if close else ""
            raise NoSuchField(f"{field!r} is not among the traced fields.{hint}")
        return found

    def _loop_number(self, name: str) -> int:
        paths = [loop.path for loop in self._loops]
        found = called(name, paths)
        if len(found) == 1:
            return paths.index(found[0])
        if found:
            raise BadSetting(f"Several loops are called {name!r}: {listed(found)}. Write the path of one.")
        close = nearest(name, [*paths, *(loop.name for loop in self._loops)])
        hint = f" Nearest is {close!r}." if close else ""
        raise NoSuchField(f"No loop of this tree is called {name!r}.{hint}")

    # the watcher: what the generated code is made to do

    def bound(self, plan: LoopPlan) -> dict[str, object]:
        """The name by which the generated code calls this trace."""
        self._watch(plan)
        _NAMES_IN_USE.discard(self._code_name)
        names = {node.name for each in plan.walk() for node in (each.target, *each.target.cbs)}
        self._code_name = free_name("trace", names | _NAMES_IN_USE)
        _NAMES_IN_USE.add(self._code_name)
        return {self._code_name: self}

    def around_run(self, loop: LoopPlan, lines: list[str]) -> list[str]:
        """Look where a run begins that was not called by a loop, and at the end of every run."""
        if not self._looks_into(loop):
            return lines
        name = self._code_name
        return [
            f'{name}.begin("{loop.path}")',
            "try:",
            *indented(lines),
            "finally:",
            f'    {name}.end("{loop.path}")',
        ]

    def around_pass(self, loop: LoopPlan, lines: list[str]) -> list[str]:
        """Look where a pass begins, lest what `items()` or a consumer did be taken for the first hook's doing."""
        if not self._looks_into(loop):
            return lines
        return [f'{self._code_name}.look("{loop.path}")', *self._going_on(), *lines]

    def around_step(self, step: Step, lines: list[str]) -> list[str]:
        """Look when a hook has returned or raised; after an inner loop, go on with a stop that began in it."""
        if not self._looks_at(step):
            return [*lines, *self._going_on()]
        return [
            "try:",
            *indented(lines),
            "except BaseException:",
            f'    {self._code_name}.note("{step.key}")',
            "    raise",
            f'{self._code_name}.look("{step.key}")',
        ]

    def _going_on(self) -> list[str]:
        return [f"{self._code_name}.go_on()"] if self._stop_if else []

    def around_callable(self, step: Step, expression: str) -> str:
        """The same for a hook that is handed over to be called."""
        return f'{self._code_name}.looking({expression}, "{step.key}")' if self._looks_at(step) else expression

    def _looks_into(self, loop: LoopPlan) -> bool:
        return self._inside or loop.target is self._loop

    def _looks_at(self, step: Step) -> bool:
        """Whether to look after a step: a hook, or, where nobody looks inside, an inner loop as a whole."""
        return isinstance(step, HookPlan) if self._inside else step.key in self._own_steps

    # what the generated code calls

    def _look_at_all(self, site: str) -> None:
        """Compare the traced fields with the look before; what changed was done at `site`."""
        for record in self._watched:
            value = getattr(record.owner, record.name, UNSET)
            if value is not record.seen:
                self._compare(record, value, site)
        if self._due:
            self.go_on()

    def _look_at_one(self, record: Record) -> Callable[[str], None]:
        """The same where one field is traced, in half the time."""
        owner, name, compare = record.owner, record.name, self._compare

        def look(site: str) -> None:
            value = getattr(owner, name, UNSET)
            if value is not record.seen:
                compare(record, value, site)
                if self._due:
                    self.go_on()

        return look

    def note(self, site: str) -> None:
        """`look` where nothing may be raised, because something else is on its way."""
        for record in self._watched:
            self._compare(record, getattr(record.owner, record.name, UNSET), site)
        self._due = False

    def looking(self, hook: Callable[[], object], site: str) -> Callable[[], None]:
        """A hook with a look after it."""

        def hook_and_look() -> None:
            try:
                hook()
            except BaseException:
                self.note(site)
                raise
            self.look(site)

        setattr(hook_and_look, "__wrapped__", hook)
        return hook_and_look

    def begin(self, site: str) -> None:
        """A run begins, or goes on in new code."""
        if self._outermost == NO_LOOP:
            self.note(OUTSIDE)
            self._outermost = self._sites[site].loop

    def end(self, site: str) -> None:
        """A run ends, in whatever way."""
        self.note(f"{site} ends")
        if self._outermost == self._sites[site].loop:
            self._outermost, self._pending = NO_LOOP, None

    def go_on(self) -> None:
        """Raise what a `stop_if` calls for: where the field was changed, then again in each loop further out."""
        self._due = False
        pending = self._pending
        if pending is not None:
            if not isinstance(pending, Cancel):  # which makes its way through the outer loops by itself
                self._pending = None
            raise pending

    # comparing

    def _compare(self, record: Record, value: Any, site: str) -> None:
        """Record a field's value if it is another one than at the look before."""
        if type(value) in PLAIN and record.is_plain:
            old = record.value
            record.value = record.seen = value
            if (value == old and type(value) is type(old)) or (value != value and old != old):
                return
        else:
            if record.forward is not None:
                value = own_value(record.owner, record.name, record.forward)
            if value is record.value:
                if record.marker is None:
                    return
                mark = record.marker(value)
                if mark == record.mark:
                    return
                record.mark = mark
            elif not record.take(value, self._marks):
                return
        self._number += 1
        shown = record.shown
        record.shown = new = value if type(value) in NUMBERS else snapshot(value)
        if len(record.entries) == self._keep:
            record.drop_first()
        counts = tuple(map(_count_of, self._loops))
        record.entries.append((self._number, counts, self._sites[site], self._outermost, shown, new))
        if record.stop_if is not None and value is not UNSET:
            self._judge(record.stop_if, record.change(record.entries[-1]), value)

    def _judge(self, stop_if: Predicate, change: Change, value: Any) -> None:
        """Ask a predicate about a value that was just set, and prepare what ends the run if it says so."""
        if self._pending is not None:
            return
        try:
            stops = bool(stop_if(value))
        except Exception as error:
            self._pending = BadPredicate(
                f"stop_if of {change.field} raised {type(error).__name__}: {error}. It was asked about"
                f" {show(change.new)}, set by {change.hook} in {change.at}."
            )
            self._pending.__cause__ = error
            self._due = True
            return
        if stops:
            self.hit = change
            went = f"{change.field} went from {show(change.old)} to {show(change.new)}"
            self._pending = Cancel("run", f"{went} in {change.at} (a stop_if of Trace)", by=change.hook)
            self._due = True

    def _watch(self, plan: LoopPlan) -> None:
        """Take up the fields and hooks of a plan, and go on with those that were there before."""
        for each in plan.walk():
            if not any(each.target is loop for loop in self._loops):
                self._loops.append(each.target)
            if each.target is self._loop:
                self._own_steps = frozenset(step.key for step in each.steps())
        self._sites |= sites(plan, self._loops)  # those that are gone may still stand in code that is running
        watched = []
        for full_name, owner, name in known_fields(plan, self._loop, self._names):
            record = self._records.get(full_name)
            if record is None:
                stop_if = next((self._stop_if[given] for given in self._stop_if if is_called(full_name, given)), None)
                record = self._records[full_name] = Record(full_name, name, stop_if)
            if record.owner is not owner:
                record.watch(owner, self._marks)
            watched.append(record)
        self._watched = watched
        self.look = self._look_at_one(watched[0]) if len(watched) == 1 else self._look_at_all


def _plural(number: int, word: str) -> str:
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"
