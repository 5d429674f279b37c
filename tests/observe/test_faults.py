"""Faults while a run is recorded, each of them a real one: nothing of what was recorded before is lost."""

import math
import os
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import numpy as np
import pytest

from looptree import Callback, Loop
from looptree.core.errors import FieldWarning
from looptree.observe.runs import Recorder, Run

REPOSITORY = Path(__file__).resolve().parents[2]


class Counting(Loop):
    value = 0.0

    def on_step(self):
        self.value = float(self.count)


def test_a_metric_that_is_no_number_for_a_while_is_recorded_before_and_after(tmp_path):
    given = [1.0, math.nan, math.inf, "a word", None, 10**400, np.zeros(2), [], -math.inf, 2.0]

    class Odd(Loop):
        value = 0.0

        def on_step(self):
            self.value = self.item

        def items(self):
            return given

    with warnings.catch_warnings(record=True) as said, Recorder(loop := Odd(), tmp_path / "run", metrics=["value"]):
        warnings.simplefilter("always")
        loop.run()
    (warning,) = said
    assert warning.category is FieldWarning
    assert str(warning.message) == "The metric 'value' is a str and left out; a number would fit."
    curve = Run(tmp_path / "run").metric("value")
    assert curve.passes == [0, 1, 2, 8, 9]
    assert curve.values == pytest.approx([1.0, math.nan, math.inf, -math.inf, 2.0], nan_ok=True)


def test_a_number_that_is_too_large_is_told(tmp_path):
    class Huge(Loop):
        value = 10**400

        def on_step(self):
            pass

    text = "The metric 'value' is too large and left out; a number would fit."
    with pytest.warns(FieldWarning, match=text), Recorder(Huge(times=3), tmp_path / "run", metrics=["value"]) as huge:
        huge.loop.run()
    assert Run(tmp_path / "run").passes == 3


class Careless(Callback):
    """Divides by zero in the 500th pass, after it has written down what it could."""

    def after_step(self):
        self.loop.value = 1 / (499 - self.loop.count)


def test_an_exception_in_a_callback_loses_nothing_of_the_passes_before(tmp_path):
    loop = Counting(cbs=Careless(), times=1_000)
    with pytest.raises(ZeroDivisionError), Recorder(loop, tmp_path / "run", metrics=["value"], fields=["value"]):
        loop.run()
    run = Run(tmp_path / "run")
    assert run.ended == "failed in Careless.after_step: ZeroDivisionError: division by zero"
    assert run.passes == run.passes_done == 499
    assert run.metric("value").values == [1 / (499 - number) for number in range(499)]
    last = run.changes("value")[-1]
    assert (last.hook, last.new, last.pass_) == ("Counting.on_step", "499", 499)  # of the pass that failed
    assert run.timings


def in_a_process_of_its_own(script, **environment):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)} | environment,
    )


def test_where_memory_runs_out_the_run_fails_with_all_that_it_has_recorded(tmp_path):
    done = in_a_process_of_its_own(f"""
        import resource
        from looptree import Loop
        from looptree.observe.runs import Recorder

        class Hungry(Loop):
            value = 0.0

            def on_step(self):
                self.value = float(self.count)
                self.eaten = [*getattr(self, "eaten", []), bytearray(2**20)]

        loop = Hungry(times=10_000)
        resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
        with Recorder(loop, {str(tmp_path / "run")!r}, metrics=["value"]):
            loop.run()
    """)
    assert done.returncode == 1 and done.stderr.rstrip().endswith("MemoryError"), done.stderr
    run = Run(tmp_path / "run")
    assert run.ended == "failed in Hungry.on_step: MemoryError"
    assert 100 < run.passes == run.passes_done < 1_024
    assert run.metric("value").values == [float(number) for number in range(run.passes)]


# Stands before the C library's clock: the time of day goes back by ten years with every third question.
JUMPING = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>
int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    static int asked;
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int answer = real(clock, now);
    if (clock == CLOCK_REALTIME && ++asked % 3 == 0) now->tv_sec -= 10L * 365 * 86400;
    return answer;
}
"""


@pytest.mark.skipif(sys.platform != "linux", reason="puts a clock that jumps in place of the C library's")
def test_a_clock_that_jumps_moves_no_time_of_a_run(tmp_path):
    (tmp_path / "clock.c").write_text(JUMPING)
    library = tmp_path / "clock.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, tmp_path / "clock.c", "-ldl"], check=True, timeout=60)
    done = in_a_process_of_its_own(
        f"""
        import time
        from looptree import Loop
        from looptree.observe.runs import Recorder

        class Slow(Loop):
            def on_step(self):
                time.sleep(0.01)

        asked = [time.time() for _ in range(6)]
        print(max(asked) - min(asked) > 86_400)
        loop = Slow(times=50)
        with Recorder(loop, {str(tmp_path / "run")!r}, metrics=["count"]):
            loop.run()
        """,
        LD_PRELOAD=str(library),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "True\n"  # it does jump
    run = Run(tmp_path / "run")
    at_s = run.metric("count").at_s
    assert run.passes == len(at_s) == 50 and run.ended == "ran all 50 items"
    assert at_s == sorted(at_s) and 0.5 < run.seconds < 60
    (took_s,) = [timing.total_s for timing in run.timings if timing.path == "slow.on_step"]
    assert 0.5 < took_s < 60
