"""Profiles: calls and times of every hook, with a clock that only the hooks move on."""

import contextlib
import copy
import csv
import dataclasses
import io
import itertools
import json
import traceback
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from looptree import Callback, Cancel, Loop, Profile, Trace
from looptree.core.errors import BadSetting, NotALoop
from looptree.observe.profile import AlreadyWatching, NoSuchTiming, NoTimeline
from looptree.observe.save import CannotSave
from tests.parsed_html import Parsed, shown_html


class Clock:
    """Tells the time that the hooks have taken so far."""

    def __init__(self):
        self.now_s = 0.0

    def __call__(self):
        return self.now_s

    def takes(self, seconds):
        self.now_s += seconds


clock = Clock()


class Update(Loop):
    call_on = "on_update"
    times = 4

    def on_loss(self):
        clock.takes(0.25)

    def on_step(self):
        clock.takes(0.125)


class Learner(Loop):
    def items(self):
        for number in itertools.count():
            clock.takes(0.0625)
            yield number

    def on_collect(self):
        clock.takes(2)

    def on_update(self, _phase="train"):
        clock.takes(0.5)

    def on_report(self, _phase="valid"):
        clock.takes(1)


class Clip(Callback):
    def before_step(self, _every=2):
        clock.takes(0.0078125)


class Bar(Callback):
    def before_run(self):
        clock.takes(8)

    def finally_run(self):
        clock.takes(16)


def learner(**given):
    return Learner(**({"inner_loops": Update(cbs=Clip), "cbs": Bar, "phases": ["train", "valid"], "times": 3} | given))


def profiled(loop, **given):
    with Profile(loop, clock=clock, **given) as p:
        loop.run()
    return p


def times_of(p):
    return {timing.path: (timing.calls, timing.total_s, timing.own_s) for timing in p}


def adds_up(p):
    return sum(timing.own_s for timing in p) == pytest.approx(p.total_s)


TABLE = """\
                                                  calls    total      own     mean    share
learner: Learner · its items(), at most 3 passes      1  45.2 s    188 ms  45.2 s   100.0 %
├─ before_run   bar                                   1  8.00 s   8.00 s   8.00 s    17.7 %
├─ phase train                                           12.0 s                      26.6 %
│  ├─ on_collect                                      3  6.00 s   6.00 s   2.00 s    13.3 %
│  ├─ on_update                                       3  1.50 s   1.50 s    500 ms    3.3 %
│  └─ on_update  update: Update · 4 passes            3  4.55 s      0 ns  1.52 s    10.1 %
│     ├─ on_loss                                     12  3.00 s   3.00 s    250 ms    6.6 %
│     ├─ before_step  clip · every 2                  6  46.9 ms  46.9 ms  7.81 ms    0.1 %
│     └─ on_step                                     12  1.50 s   1.50 s    125 ms    3.3 %
├─ phase valid                                           9.00 s                      19.9 %
│  ├─ on_collect                                      3  6.00 s   6.00 s   2.00 s    13.3 %
│  └─ on_report                                       3  3.00 s   3.00 s   1.00 s     6.6 %
└─ finally_run  bar                                   1  16.0 s   16.0 s   16.0 s    35.4 %"""


def test_it_prints_the_tree_with_its_times():
    p = profiled(learner())
    assert str(p) == repr(p) == TABLE


def test_a_loops_own_time_is_its_items_and_the_engine():
    p = profiled(learner())
    assert p["learner"].own_s == 3 * 0.0625
    assert p["learner.update"].own_s == 0
    assert p.total_s == p["learner"].total_s == 45.234375
    assert adds_up(p)


def test_the_mean_is_of_a_call_and_the_share_of_the_whole():
    p = profiled(learner())
    loss = p["learner.update.on_loss"]
    assert (loss.calls, loss.total_s, loss.mean_s) == (12, 3.0, 0.25)
    assert loss.share == 3.0 / 45.234375
    assert loss.place.endswith(f"test_profile.py:{Update.on_loss.__code__.co_firstlineno}")


def test_real_time_passes_too():
    with Profile(learner()) as p:
        p.loop.run()
    assert 0 < p["learner.update.on_loss"].total_s < p["learner.update"].total_s < p.total_s
    assert adds_up(p)


def test_a_second_run_is_added():
    loop = learner()
    with Profile(loop, clock=clock) as p:
        loop.run()
        loop.run()
    assert (p["learner"].calls, p.total_s) == (2, 90.46875)
    with p:
        loop.run()
    assert (p["learner"].calls, p.total_s) == (3, 135.703125)


# --- what can be asked for ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "kind", "calls", "total_s"),
    [
        ("learner", "loop", 1, 45.234375),
        ("learner.update", "loop", 3, 4.546875),
        ("update", "loop", 3, 4.546875),
        ("learner.train", "phase", 0, 12.046875),
        ("learner.train.on_collect", "hook", 3, 6.0),
        ("learner.on_collect", "hook", 6, 12.0),
        ("on_report", "hook", 3, 3.0),
        ("learner.update.clip.before_step", "hook", 6, 0.046875),
        ("learner.update.before_step", "hook", 6, 0.046875),
        ("learner.update.clip", "hook", 6, 0.046875),
        ("bar", "hook", 2, 24.0),
        ("bar.finally_run", "hook", 1, 16.0),
    ],
)
def test_a_path_from_the_root_or_from_the_loop_watched(path, kind, calls, total_s):
    timing = profiled(learner())[path]
    assert (timing.kind, timing.calls, timing.total_s) == (kind, calls, total_s)


def test_a_path_that_leads_nowhere_names_the_nearest():
    p = profiled(learner())
    with pytest.raises(NoSuchTiming, match=r"Nearest is 'learner\.update\.on_loss'"):
        p["learner.update.on_los"]
    with pytest.raises(NoSuchTiming, match=r"Nearest is 'learner\.update\.clip'"):
        p["clip"]
    with pytest.raises(NoSuchTiming, match="Paths begin with 'learner'"):
        p["?"]


def test_the_lines_of_the_tree_in_order():
    assert [timing.path for timing in profiled(learner())] == [
        "learner",
        "learner.bar.before_run",
        "learner.train",
        "learner.train.on_collect",
        "learner.train.on_update",
        "learner.update",
        "learner.update.on_loss",
        "learner.update.clip.before_step",
        "learner.update.on_step",
        "learner.valid",
        "learner.valid.on_collect",
        "learner.valid.on_report",
        "learner.bar.finally_run",
    ]


# --- nothing stays behind -----------------------------------------------------------------------------------


def test_the_code_is_afterwards_what_it_was():
    loop = learner()
    code = loop.code
    with Profile(loop):
        assert loop.code != code
        loop.run()
    assert loop.code == code


def test_the_code_is_what_it_was_when_the_run_failed():
    loop = learner(cbs=failing("on_step", KeyboardInterrupt))
    code = loop.code
    with pytest.raises(KeyboardInterrupt), Profile(loop):
        loop.run()
    assert loop.code == code


def test_nothing_was_run():
    loop = learner()
    with Profile(loop) as p:
        pass
    assert str(p) == "learner: nothing was run"
    assert p.total_s == 0
    assert p["learner.update.on_loss"].calls == 0


def test_runs_outside_of_it_are_not_counted():
    loop = learner()
    loop.run()
    p = profiled(loop)
    loop.run()
    assert p["learner"].calls == 1
    assert str(p) == TABLE


def test_a_copy_of_a_watched_loop_is_not_watched():
    loop = learner()
    code = loop.code
    with Profile(loop, clock=clock):
        assert copy.deepcopy(loop).code == code


# --- failures -----------------------------------------------------------------------------------------------


def failing(name, error, at=3):
    """A callback whose hook takes a second and raises, the `at`-th time."""

    def hook(self):
        self.calls += 1
        clock.takes(1)
        if self.calls == at:
            raise error

    hook.__name__ = name
    return type("Failing", (Callback,), {"calls": 0, name: hook})()


class Watching(Callback):
    def failed_step(self):
        clock.takes(32)

    def finally_step(self):
        clock.takes(64)


def test_a_hook_that_raises_is_timed_to_where_it_raised():
    loop = learner(cbs=[failing("on_step", error := ValueError("no")), Watching()])
    with Profile(loop, clock=clock) as p, pytest.raises(ValueError) as caught:
        loop.run()
    assert caught.value is error
    assert (p["failing"].calls, p["failing"].total_s) == (3, 3.0)
    assert (p["watching.failed_step"].calls, p["watching.failed_step"].total_s) == (1, 32.0)
    assert (p["watching.finally_step"].calls, p["watching.finally_step"].total_s) == (3, 192.0)
    assert (p["learner.update"].calls, p["learner.update.on_step"].calls) == (1, 3)
    assert p["learner.update"].own_s == 0
    assert adds_up(p)


@pytest.mark.parametrize("name", ["on_loss", "on_step", "failed_step", "finally_step", "finally_run"])
def test_a_failing_run_ends_as_it_does_unwatched(name):
    def run(watch):
        loop = learner(cbs=[failing(name, ValueError("no"), at=1), failing("on_loss", OSError("first"), at=2)])
        if watch:
            with Profile(loop), pytest.raises((ValueError, OSError)) as caught:
                loop.run()
        else:
            with pytest.raises((ValueError, OSError)) as caught:
                loop.run()
        error = caught.value
        return loop.ended, loop.update.ended, repr(error), getattr(error, "__notes__", None), loop.count

    assert run(True) == run(False)


def test_no_frame_is_added_to_the_traceback_of_a_hook():
    def frames(watch):
        loop = learner(cbs=failing("on_step", ValueError("no")))
        try:
            if watch:
                with Profile(loop):
                    loop.run()
            else:
                loop.run()
        except ValueError as error:
            return [frame.name for frame in traceback.extract_tb(error.__traceback__)]

    assert frames(True) == frames(False)


def test_recovering():
    class Recovering(Callback):
        def failed_step(self):
            clock.takes(32)
            self.loop.recover()

    loop = learner(cbs=[failing("on_step", ValueError()), Recovering])
    p = profiled(loop)
    assert loop.ended == "ran all 3 items"
    assert (p["recovering"].calls, p["failing"].calls, p["failing"].total_s) == (1, 12, 12.0)
    assert p["learner.update"].own_s == 0
    assert adds_up(p)


@pytest.mark.parametrize("event", [None, "loss", "pass", "run", "update"])
def test_cancelling(event):
    p = profiled(learner(cbs=failing("on_loss", Cancel(event))))
    assert p["failing"].calls == p["failing"].total_s
    assert p["learner.update"].own_s == 0
    assert adds_up(p)


def test_stopping():
    class Enough(Callback):
        def after_step(self):
            self.learner.stop("enough")

    p = profiled(learner(cbs=Enough))
    assert (p["enough"].calls, p["learner.update.on_step"].calls, p["learner.on_report"].calls) == (1, 1, 1)
    assert adds_up(p)


# --- changes while it runs ----------------------------------------------------------------------------------


class Slow(Callback):
    def after_step(self):
        clock.takes(1)


def test_a_callback_added_while_it_runs():
    class Adding(Callback):
        def after_pass(self):
            if self.learner.index == 0:
                self.learner.update.add_cb(Slow)

    p = profiled(learner(cbs=Adding))
    assert (p["learner.update.on_step"].calls, p["learner.update"].calls, p["update.slow"].calls) == (12, 3, 8)
    assert p["update.slow"].total_s == 8.0
    assert (p["learner"].calls, p["learner"].own_s, p["learner.update"].own_s) == (1, 3 * 0.0625, 0)
    assert adds_up(p)


def test_a_callback_that_leaves_keeps_its_line():
    class Leaving(Callback):
        def after_step(self):
            clock.takes(1)
            self.learner.remove_cb(self)

    loop = learner(cbs=Leaving)
    p = profiled(loop)
    assert "└─ after_step   leaving" in str(p)
    assert p["leaving"].total_s == p["leaving"].calls == 1
    assert p["learner.update"].own_s == 0
    assert adds_up(p)


def test_an_inner_loop_that_leaves_keeps_its_lines():
    class Leaving(Callback):
        def after_pass(self):
            if self.learner.index == 1:
                self.learner.remove_loop(Update)

    p = profiled(learner(cbs=Leaving, inner_loops=Update()))
    assert (p["learner.update"].calls, p["learner.update.on_loss"].calls) == (2, 8)
    assert p["learner"].own_s == 3 * 0.0625
    assert adds_up(p)


def test_a_hook_replaced_on_the_way_has_a_line_for_each():
    class Instead(Callback):
        def on_loss(self, _replace=True):
            clock.takes(4)

    class Adding(Callback):
        def after_pass(self):
            if self.learner.index == 0:
                self.learner.update.add_cb(Instead)

    p = profiled(learner(cbs=Adding))
    assert (p["learner.update.on_loss"].calls, p["update.instead"].calls) == (4, 8)
    assert [t.path for t in p if t.path.endswith("on_loss")] == [
        "learner.update.on_loss",
        "learner.update.instead.on_loss",
    ]
    assert adds_up(p)


def test_a_hook_replaced_now_and_then():
    class Instead(Callback):
        def on_loss(self, _replace=True, _every=4):
            clock.takes(4)

    p = profiled(learner(inner_loops=Update(cbs=Instead)))
    assert (p["update.instead"].calls, p["learner.update.on_loss"].calls) == (3, 9)
    assert adds_up(p)


def test_callbacks_of_one_run_only():
    loop = learner()
    with Profile(loop, clock=clock) as p:
        loop.run(cbs=Slow)
        loop.run()
    assert p["slow"].calls == 12
    assert adds_up(p)


def test_a_loop_that_is_a_dataclass():
    @dataclasses.dataclass
    class Settings(Loop):
        size: int = 3

        def on_step(self):
            clock.takes(self.size)

    loop = Settings()
    with Profile(loop, clock=clock) as p, Trace(loop):
        loop.run()
    assert p["settings"].total_s == 3


def test_a_phase_run_alone():
    loop = learner()
    with Profile(loop, clock=clock) as p:
        loop.run()
        loop.run(phases="valid")
    assert (p["learner.train.on_collect"].calls, p["learner.valid.on_collect"].calls) == (3, 6)
    assert [timing.path for timing in p if timing.kind == "phase"] == ["learner.train", "learner.valid"]
    assert adds_up(p)


def test_entered_and_left_while_the_loop_runs():
    p = Profile(loop := learner(times=6), clock=clock)

    class Switching(Callback):
        def after_pass(self):
            if self.learner.index == 1:
                p.__enter__()
            if self.learner.index == 3:
                p.__exit__(None, None, None)
                self.seen = str(p)

    loop.add_cb(Switching)
    code = loop.code
    loop.run()
    assert (p["learner.update"].calls, p["learner.update.on_loss"].calls, p["learner.on_report"].calls) == (2, 8, 2)
    assert p["learner.update"].own_s == 0
    assert adds_up(p)
    assert str(p) == loop.switching.seen
    assert loop.code == code


def test_asked_while_the_loop_runs():
    seen = []

    class Asking(Callback):
        def after_step(self):
            if self.learner.index == 1 and self.loop.index == 2:
                clock.takes(0.03125)
                seen.append((times_of(p), p.total_s, str(p)))

    loop = learner(cbs=Asking)
    with Profile(loop, clock=clock) as p:
        began_s = clock()
        loop.run()
    times, total_s, text = seen[0]
    assert times["learner.update.on_loss"] == (7, 1.75, 1.75)
    assert times["learner.update"] == (1, 7 * 0.375 + 3 * 0.0078125 + 0.03125, 0.03125)  # the hook that asks
    assert times["learner"][2] == 2 * 0.0625
    assert sum(own_s for _, _, own_s in times.values()) == pytest.approx(total_s)
    assert "on_loss" in text
    assert began_s < clock()


# --- several loops, several watchers ------------------------------------------------------------------------


def test_a_loop_called_at_two_places_has_its_times_where_it_is_shown_first():
    p = profiled(learner(inner_loops=Update(call_on=["before_collect", "on_report"])))
    times = times_of(p)
    assert times["learner.update"] == (9, 9 * 1.5, 0)
    assert times["learner.valid.before_collect.update"] == (3, 4.5, 0)
    assert times["learner.valid.on_report.update"] == (3, 4.5, 0)
    assert times["learner.valid"][1] == 2 * 4.5 + 3 * 3
    assert "├─ before_collect update: Update (above) 3 4.50 s 1.50 s" in " ".join(str(p).split())
    assert adds_up(p)


def test_an_inner_loop_run_alone():
    loop = learner()
    with Profile(loop, clock=clock) as p:
        loop.run()
        loop.update.run()
    assert (p["learner"].total_s, p["learner"].own_s) == (45.234375, 3 * 0.0625)
    assert p["learner.update"].calls == 4
    assert p.total_s == 45.234375 + 4 * 0.375 + 2 * 0.0078125
    assert adds_up(p)


def test_only_a_part_of_a_tree_watched():
    loop = learner()
    with Profile(loop.update, clock=clock) as p:
        loop.run()
    assert next(timing.path for timing in p) == "learner.update"
    assert (p["learner.update"].calls, p.total_s) == (3, 4.546875)
    assert p["on_loss"].calls == 12
    assert adds_up(p)


def test_profiles_nest():
    loop = learner()
    code = loop.code
    with Profile(loop, clock=clock) as outer:
        once = loop.code
        with Profile(loop, clock=clock) as inner:
            loop.run()
        assert loop.code == once
        loop.run()
    assert loop.code == code
    assert str(inner) == TABLE
    assert (outer["learner"].calls, outer.total_s) == (2, 2 * inner.total_s)


def test_profiles_left_in_another_order():
    loop = learner()
    code = loop.code
    first, second = Profile(loop, clock=clock), Profile(loop, clock=clock)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    loop.run()
    third = Profile(loop, clock=clock).__enter__()
    loop.run()
    second.__exit__(None, None, None)
    third.__exit__(None, None, None)
    assert loop.code == code
    assert (second["learner"].calls, str(third)) == (2, TABLE)


class Expensive:
    """A watcher whose work around hooks, those of some names or all, takes time."""

    def __init__(self, *names):
        self.names = names

    def bound(self, plan):
        return {"_expensive": clock}

    def around_step(self, step, lines):
        if self.names and step.name not in self.names:
            return lines
        return ["_expensive.takes(100)", *lines, "_expensive.takes(100)"]

    def around_callable(self, step, expression):
        return expression

    def around_run(self, loop, lines):
        return lines

    def around_pass(self, loop, lines):
        return lines


@pytest.mark.parametrize("around", [(), ("on_loss",), ("on_step",), ("before_step",), ("on_loss", "on_step")])
def test_what_a_watcher_outside_does_between_hooks_is_no_hooks_time(around):
    loop = learner()
    undo = loop.watch(Expensive(*around))
    p = profiled(loop)
    undo()
    assert p["learner.update.on_loss"].total_s == 3.0
    assert p["learner.update.before_step"].total_s == 6 * 0.0078125
    assert p["learner.update.on_step"].total_s == 1.5
    assert adds_up(p)


class Neighbours(Loop):
    def before_step(self):
        pass

    def on_step(self):
        pass

    def after_step(self):
        pass


class Inside(Neighbours):
    call_on = "on_step"


def readings(watch=lambda loop: contextlib.nullcontext(), **given):
    """How often the clock is read in a run of one pass."""
    read_at = []

    def counting_clock():
        read_at.append(len(read_at))
        return float(len(read_at))

    loop = Neighbours(**given)
    with watch(loop), Profile(loop, clock=counting_clock):
        loop.run()
        return len(read_at)


def test_the_clock_is_read_once_between_neighbours_and_once_for_an_inner_loop_beside_them():
    run, neighbours, one_more = 2, 3 + 1, 1
    assert readings() == run + neighbours
    assert readings(inner_loops=Inside) == run + neighbours + one_more + neighbours


def test_a_trace_that_does_not_look_inside_makes_no_more_readings_there():
    def looking_at(inside):
        return readings(lambda loop: Trace(loop, "count", inside=inside), inner_loops=Inside)

    assert looking_at(inside=False) == 2 + 2 * 4 + 4
    assert looking_at(inside=True) == 2 + 2 * 4 + 2 * 3


def test_one_profile_does_not_watch_twice_at_once():
    with Profile(learner()) as p, pytest.raises(AlreadyWatching, match=r"Make a second one: Profile\(loop\)"), p:
        pass


# --- pulled -------------------------------------------------------------------------------------------------


def test_what_a_consumer_does_is_in_no_time():
    loop = learner()
    with Profile(loop, clock=clock) as p:
        for number in loop:
            clock.takes(1000)
            assert p["learner"].own_s == (number + 1) * 0.0625
    assert str(p) == TABLE


def test_a_consumer_who_breaks_off():
    loop = learner()
    code = loop.code
    with Profile(loop, clock=clock) as p:
        for _ in loop:
            clock.takes(1000)
            break
    assert (p["learner"].calls, p["bar.finally_run"].calls, p["learner.on_report"].calls) == (1, 1, 1)
    assert p["learner"].own_s == 0.0625
    assert adds_up(p)
    assert loop.code == code


def test_a_change_while_it_is_pulled():
    loop = learner()
    with Profile(loop, clock=clock) as p:
        for number in loop:
            clock.takes(1000)
            if number == 0:
                loop.update.add_cb(Slow)
    assert (p["learner"].calls, p["learner"].own_s, p["update.slow"].calls) == (1, 3 * 0.0625, 8)
    assert adds_up(p)


# --- files --------------------------------------------------------------------------------------------------


def test_csv_has_a_row_for_each_line():
    p = profiled(learner())
    rows = list(csv.DictReader(io.StringIO(p.csv())))
    assert [row["path"] for row in rows] == [timing.path for timing in p]
    loss = next(row for row in rows if row["path"] == "learner.update.on_loss")
    assert (loss["kind"], loss["calls"], loss["total_s"], loss["own_s"], loss["mean_s"]) == (
        "hook",
        "12",
        "3.0",
        "3.0",
        "0.25",
    )


def test_json_is_the_tree():
    data = json.loads(profiled(learner()).json())
    assert data["total_s"] == data["tree"]["total_s"] == 45.234375
    phase = data["tree"]["children"][1]
    assert (phase["kind"], phase["name"]) == ("phase", "phase train")
    update = phase["children"][2]
    assert (update["path"], update["note"], update["calls"]) == ("learner.update", "update: Update · 4 passes", 3)
    assert [child["name"] for child in update["children"]] == ["on_loss", "before_step", "on_step"]


def slices(p):
    """The complete events of a Chrome trace."""
    return [event for event in json.loads(p.chrome_trace())["traceEvents"] if event["ph"] == "X"]


def test_a_chrome_trace_has_every_call_inside_the_one_that_made_it():
    p = profiled(learner(times=1), keep_calls=1000)
    found = slices(p)
    assert [event["name"] for event in found[:6]] == [
        "learner",
        "bar.before_run",
        "learner.on_collect",
        "learner.on_update",
        "update",
        "update.on_loss",
    ]
    assert len(found) == sum(timing.calls for timing in p)
    assert (found[0]["ts"], found[0]["dur"], found[0]["cat"]) == (0.0, p.total_s * 1e6, "loop")
    assert found[5]["args"]["path"] == "learner.update.on_loss"
    assert found[5]["args"]["place"].endswith(f"test_profile.py:{Update.on_loss.__code__.co_firstlineno}")
    assert all(event.keys() >= {"name", "cat", "ph", "ts", "dur", "pid", "tid"} for event in found)
    ends = []
    for event in found:
        while ends and ends[-1] <= event["ts"]:
            ends.pop()
        assert not ends or event["ts"] + event["dur"] <= ends[-1]
        ends.append(event["ts"] + event["dur"])


def test_speedscope_opens_and_closes_every_call_in_time():
    p = profiled(learner(times=1), keep_calls=1000)
    data = json.loads(p.speedscope())
    assert data["$schema"] == "https://www.speedscope.app/file-format-schema.json"
    (profile,) = data["profiles"]
    frames = data["shared"]["frames"]
    assert (profile["type"], profile["unit"], profile["startValue"]) == ("evented", "nanoseconds", 0)
    assert profile["endValue"] == p.total_s * 1e9
    stack, last = [], 0
    for event in profile["events"]:
        assert event["at"] >= last
        last = event["at"]
        if event["type"] == "O":
            stack.append(event["frame"])
        else:
            assert stack.pop() == event["frame"]
        assert 0 <= event["frame"] < len(frames)
    assert stack == []
    assert len(profile["events"]) == 2 * sum(timing.calls for timing in p)
    loss = next(frame for frame in frames if frame["name"] == "update.on_loss")
    assert loss["line"] == Update.on_loss.__code__.co_firstlineno


SCHEMAS = Path(__file__).parent / "schemas"


def problems(text, schema):
    """What keeps a file from fitting a schema of `schemas`."""
    found = json.loads((SCHEMAS / f"{schema}.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(found)
    return list(jsonschema.Draft202012Validator(found).iter_errors(json.loads(text)))


class Awkward(Callback):
    """A callback from a file whose name JSON has to escape, with a hook that fails."""

    exec(compile("def after_step(self): raise ValueError", 'a "file" with \\ and ✓.py', "exec"))


@pytest.mark.parametrize("file", ["chrome_trace", "speedscope"])
@pytest.mark.parametrize(
    ("options", "keep_calls"),
    [({}, 1000), ({}, 3), ({"times": 0}, 1000), ({"cbs": Awkward}, 1000)],
    ids=["all kept", "few kept", "no passes", "an awkward name and a failure"],
)
def test_a_timeline_fits_the_schema_of_its_format(file, options, keep_calls):
    with Profile(learner(**options), keep_calls=keep_calls) as p:
        assert problems(getattr(p, file)(), file) == []  # of nothing yet
        with contextlib.suppress(ValueError):
            p.loop.run()
    assert problems(getattr(p, file)(), file) == []


@pytest.mark.parametrize(
    ("file", "wrong"),
    [
        ("chrome_trace", lambda data: data["traceEvents"][-1].pop("dur")),
        ("chrome_trace", lambda data: data["traceEvents"][-1].update(ph="Q")),
        ("chrome_trace", lambda data: data["traceEvents"][-1].update(ts=-1)),
        ("chrome_trace", lambda data: data["traceEvents"][-1].update(tid="main")),
        ("chrome_trace", lambda data: data["traceEvents"][0]["args"].clear()),
        ("chrome_trace", lambda data: data.update(traceEvents={})),
        ("speedscope", lambda data: data["profiles"][0].update(unit="minutes")),
        ("speedscope", lambda data: data["profiles"][0].pop("endValue")),
        ("speedscope", lambda data: data["profiles"][0]["events"][0].update(type="B")),
        ("speedscope", lambda data: data["profiles"][0]["events"][0].update(frame=-1)),
        ("speedscope", lambda data: data["shared"]["frames"][0].update(line="12")),
        ("speedscope", lambda data: data.pop("$schema")),
    ],
)
def test_the_schemas_refuse_what_is_not_of_the_format(file, wrong):
    data = json.loads(getattr(profiled(learner(), keep_calls=1000), file)())
    wrong(data)
    assert problems(json.dumps(data), file)


def test_failing_calls_are_kept_too():
    loop = learner(cbs=[failing("on_step", ValueError()), Watching()])
    with Profile(loop, keep_calls=1000) as p, pytest.raises(ValueError):
        loop.run()
    names = [event["name"] for event in slices(p)]
    assert names[-3:] == ["failing.on_step", "watching.failed_step", "watching.finally_step"]
    assert names.count("learner") == names.count("update") == 1


def test_the_latest_calls_are_kept_and_the_others_counted():
    p = profiled(learner(), keep_calls=5)
    assert len(slices(p)) == 5
    assert p.dropped_calls == sum(timing.calls for timing in p) - 5
    assert json.loads(p.chrome_trace())["otherData"] == {"dropped_calls": p.dropped_calls}
    assert {"learner", "bar.finally_run"} <= {event["name"] for event in slices(p)}
    json.loads(p.speedscope())


def test_runs_under_way_are_in_the_trace_as_far_as_they_are():
    seen = []

    class Asking(Callback):
        def after_step(self):
            seen.append([event["name"] for event in slices(p)])

    loop = learner(cbs=Asking)
    with Profile(loop, clock=clock, keep_calls=100) as p:
        loop.run()
    assert seen[0] == [
        "learner",
        "learner.on_collect",
        "learner.on_update",
        "update",
        "update.on_loss",
        "update.on_step",
    ]


def test_without_calls_kept_there_is_no_timeline():
    p = profiled(learner())
    for ask in (p.chrome_trace, p.speedscope):
        with pytest.raises(NoTimeline, match=r"Write Profile\(loop, keep_calls=100_000\)"):
            ask()


def test_an_empty_timeline():
    with Profile(learner(), keep_calls=10) as p:
        pass
    assert slices(p) == []
    assert json.loads(p.speedscope())["profiles"][0]["events"] == []


@pytest.mark.parametrize("kind", ["csv", "json", "chrome_trace", "speedscope"])
def test_each_is_saved_whole(tmp_path, kind):
    p = profiled(learner(), keep_calls=100)
    path = tmp_path / "times"
    path.write_text("what was there before")
    assert getattr(p, f"save_{kind}")(path) == path
    assert path.read_text(encoding="utf-8") == getattr(p, kind)()
    assert list(tmp_path.iterdir()) == [path]


def test_a_path_that_cannot_be_written_is_named_and_nothing_left(tmp_path):
    p = profiled(learner())
    with pytest.raises(CannotSave, match="There is no folder"):
        p.save_csv(tmp_path / "nowhere" / "times.csv")
    with pytest.raises(CannotSave, match="It is a folder; name a file in it"):
        p.save_json(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert list(tmp_path.parent.glob(f".{tmp_path.name}*")) == []
    (tmp_path / "file").touch()
    with pytest.raises(CannotSave):
        p.save_csv(tmp_path / "file" / "times.csv")
    with pytest.raises(NoTimeline):
        p.save_speedscope(tmp_path / "times")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


# --- what it is given ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [-1, 1.5, "all", True, None])
def test_a_number_of_calls(wrong):
    with pytest.raises(BadSetting, match=r"keep_calls=.*: a number of calls fits"):
        Profile(learner(), keep_calls=wrong)


def test_a_class_instead_of_a_loop():
    with pytest.raises(NotALoop, match=r"given was the class Learner: Profile\(Learner\(\)\)"):
        Profile(Learner)


def test_fifty_levels_and_hundreds_of_hooks():
    class Level(Loop):
        call_on = "on_step"

        def on_step(self):
            clock.takes(1)

    loop = Level()
    for _ in range(49):
        loop = Level(loop)
    assert profiled(loop).total_s == 50
    hooks = {f"on_event{number}": lambda self: clock.takes(1) for number in range(200)}
    p = profiled(type("Many", (Loop,), hooks)(times=2))
    assert (p.total_s, p["on_event199"].calls) == (400, 2)


# --- any tree -----------------------------------------------------------------------------------------------


@st.composite
def trees(draw, depth=0):
    """A loop class with hooks that take some time and sometimes raise or cancel, and loops below it."""
    calls = draw(st.integers(0, 3))
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=6, unique=True))
    body = {name: draw(hooks(name)) for name in names}
    body["on_a"] = draw(hooks("on_a"))
    inner = draw(st.lists(trees(depth + 1), max_size=2)) if depth < 2 else []
    places = draw(st.lists(st.sampled_from(PLACES), min_size=1, max_size=2, unique=True))
    cls = type(f"Level{depth}", (Loop,), body)
    return cls(inner, call_on=places, times=calls)


PLACES = ["before_a", "on_a", "after_a", "failed_a", "finally_a"]
NAMES = ["before_run", "before_pass", "before_a", "after_a", "failed_a", "finally_a", "after_b", "finally_run"]


@st.composite
def hooks(draw, name):
    seconds = draw(st.integers(0, 5))
    raises = draw(st.sampled_from([None] * 12 + [ValueError, Cancel]))
    every = draw(st.sampled_from([1, 1, 2])) if not name.endswith("run") else 1
    at = draw(st.integers(1, 5))
    count = itertools.count(1)

    def hook(self, _every=every):
        CALLS[self.path, name] = CALLS.get((self.path, name), 0) + 1
        SECONDS[self.path, name] = SECONDS.get((self.path, name), 0) + seconds
        clock.takes(seconds)
        if raises is not None and next(count) == at:
            raise raises

    hook.__name__ = name
    return hook


CALLS, SECONDS = {}, {}


@settings(max_examples=150, deadline=None)
@given(trees(), st.integers(0, 1))
def test_every_tree_is_timed_as_its_hooks_say(loop, pulled):
    CALLS.clear()
    SECONDS.clear()
    code = loop.code
    with Profile(loop, clock=clock, keep_calls=10_000) as p:
        try:
            list(loop) if pulled else loop.run()
        except (ValueError, ExceptionGroup):
            pass
    assert loop.code == code
    assert sum(timing.own_s for timing in p) == p.total_s == sum(SECONDS.values())
    hooks_timed = {
        timing.path: (timing.calls, timing.total_s) for timing in p if timing.kind == "hook" and timing.calls
    }
    assert hooks_timed == {f"{path}.{name}": (CALLS[path, name], SECONDS[path, name]) for path, name in CALLS}
    assert all(timing.own_s == 0 for timing in p if timing.kind == "loop")
    assert p.dropped_calls == 0
    assert len(slices(p)) == sum(timing.calls for timing in p if timing.kind != "call")


# --- HTML ---------------------------------------------------------------------------------------------------


def test_a_notebook_shows_the_tree_with_its_figures_and_a_bar_for_each_line():
    p = profiled(learner())
    page = Parsed(shown_html(p))
    figures = [text.replace("\xa0", "") for text in page.text]
    assert figures[:5] == ["calls", "total", "own", "mean", "share"]
    assert figures[figures.index("update: Update · 4 passes") + 1 :][:5] == ["3", "4.55 s", "0 ns", "1.52 s", "10.1 %"]
    bars = [attributes for tag, attributes in page.seen if attributes.get("class") == "bar"]
    assert len(bars) == 1 + len(list(p))


def test_a_bar_is_as_long_as_the_share_of_its_line_and_dark_where_that_is_its_own():
    p = profiled(learner())
    lengths = [float(part["style"].split()[1].rstrip("%")) for tag, part in Parsed(shown_html(p)).seen if tag == "i"]
    for timing, own, below in zip(p, lengths[::2], lengths[1::2], strict=True):
        assert own == pytest.approx(100 * timing.own_s / p.total_s, abs=0.01)
        assert own + below == pytest.approx(100 * timing.share, abs=0.02)


def test_before_a_run_a_notebook_is_told_that_there_was_none():
    with Profile(learner()) as p:
        pass
    assert Parsed(shown_html(p)).text == ["learner: nothing was run"]
