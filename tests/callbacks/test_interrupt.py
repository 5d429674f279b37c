import os
import signal
import threading

import pytest

from looptree import Loop
from looptree.callbacks import GracefulInterrupt


class Inner(Loop):
    call_on = "on_step"
    times = 5

    def on_part(self):
        self.outer.log.append(f"part {self.index}")
        if self.outer.count == 1 and self.index == 2:
            for _ in range(self.outer.presses):
                os.kill(os.getpid(), self.outer.number)

    def finally_part(self):
        self.outer.log.append("part over")


class Outer(Loop):
    times = 4

    def __init__(self, presses, number=signal.SIGINT, **settings):
        self.presses = presses
        self.number = number
        self.log = []
        super().__init__(Inner, GracefulInterrupt, **settings)

    def on_step(self):
        pass

    def after_step(self):
        self.log.append("after")

    def finally_run(self):
        self.log.append("run over")


@pytest.fixture
def handler():
    """A handler that counts, to see that it is the one in force again."""
    calls = []
    previous = {number: signal.signal(number, lambda *_: calls.append(1)) for number in (signal.SIGINT, signal.SIGTERM)}
    yield calls
    for number, before in previous.items():
        signal.signal(number, before)


def heard(calls):
    """Whether it is in force again, for both signals."""
    before = len(calls)
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(os.getpid(), number)
    return len(calls) == before + 2


@pytest.mark.parametrize(("number", "name"), [(signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM")])
def test_the_first_signal_ends_the_pass_and_then_the_run(handler, number, name):
    loop = Outer(1, number)
    assert loop.run() is loop
    assert loop.count == 2
    assert loop.log[-8:] == ["part 0", "part over", "part 1", "part over", "part 2", "part over", "after", "run over"]
    assert loop.ended == f"stopped by GracefulInterrupt: {name}"
    assert loop.graceful_interrupt.interrupted
    assert (loop.graceful_interrupt.heard, loop.graceful_interrupt.status) == (number, 128 + number)
    assert heard(handler)


@pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_the_second_one_ends_it_at_once(handler, number, error):
    loop = Outer(2, number)
    with pytest.raises(error) as raised:
        loop.run()
    assert loop.count == 1
    assert loop.log[-3:] == ["part 2", "part over", "run over"]
    assert error is KeyboardInterrupt or raised.value.code == 143
    assert heard(handler)


def test_a_run_that_is_not_interrupted_says_so_and_gives_both_signals_back(handler):
    loop = Outer(presses=0).run()
    assert loop.ended == "ran all 4 items"
    assert not loop.graceful_interrupt.interrupted
    assert loop.graceful_interrupt.status == 0
    assert heard(handler)


def test_it_is_given_back_after_a_failure(handler):
    class Failing(Loop):
        def on_step(self):
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        Failing(cbs=GracefulInterrupt).run()
    assert heard(handler)


def test_after_an_interrupted_run_another_one_runs_to_its_end(handler):
    loop = Outer(presses=1).run()
    loop.run()
    assert loop.ended == "ran all 4 items"
    assert not loop.graceful_interrupt.interrupted


def test_in_another_thread_nothing_is_changed(handler):
    loop = Outer(presses=0)
    found = []
    thread = threading.Thread(target=lambda: found.append(loop.run().ended))
    thread.start()
    thread.join()
    assert found == ["ran all 4 items"]
    assert heard(handler)
