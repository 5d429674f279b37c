import io
import math
import re
import subprocess
import sys

import pytest

import looptree.callbacks
from looptree import Loop, Progress
from looptree.callbacks import bars
from looptree.core.errors import NoSuchField
from tests.kernel import run_cells
from tests.parsed_html import Parsed


class Training(Loop):
    loss: float | None = None
    frames: int = 0

    def on_step(self):
        self.loss = 1 / (self.count + 1)
        self.frames += 100


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def eager(monkeypatch):
    """Shows every pass, however quick they are."""
    for name in ("_REFRESH_S", "_FIRST_LINE_S", "_LINE_S"):
        monkeypatch.setattr(bars, name, 0.0)


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    """Nothing that tells rich to take a file for a terminal, or a terminal for a file."""
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")


def lines(loop, *fields, **settings):
    """What is written without a terminal, without the rates."""
    file = io.StringIO()
    loop.run(cbs=Progress(*fields, file=file, **settings))
    return [re.sub(r"[\d.,]+/s", "_/s", line) for line in file.getvalue().splitlines()]


def test_without_a_terminal_it_writes_plain_lines(eager):
    assert lines(Training(times=3), "loss", "frames") == [
        "training: 1 of 3 passes, _/s, loss 1, frames 100",
        "training: 2 of 3 passes, _/s, loss 0.5, frames 200",
        "training: 3 of 3 passes, _/s, loss 0.3333, frames 300",
        "training: 3 of 3 passes, _/s, loss 0.3333, frames 300",
    ]


def test_a_quick_run_has_one_line_at_its_end():
    assert lines(Training(times=1000)) == ["training: 1,000 of 1,000 passes, _/s"]


def test_the_end_of_a_run_that_goes_on_is_counted_from_there():
    loop = Training(times=3).run()
    assert lines(loop)[-1] == "training: 6 of 6 passes, _/s"
    assert loop.run(times=2, cbs=Progress(file=io.StringIO())).count == 8


def test_the_total_of_a_run_is_what_was_asked_of_it():
    class Own(Training):
        def items(self):
            return iter("abc")

    class Endless(Training):
        times = math.inf

        def after_step(self):
            if self.count == 2:
                self.stop("enough")

    class Once(Training):
        pass

    assert lines(Own())[-1] == "own: 3 passes, _/s"
    assert lines(Own(times=2))[-1] == "own: 2 of 2 passes, _/s"
    assert lines(Endless())[-1] == "endless: 3 passes, _/s"
    assert lines(Once())[-1] == "once: 1 of 1 passes, _/s"


def test_it_can_count_any_field():
    assert lines(Training(times=3), over="frames", total=300) == ["training: 300 of 300 frames, _/s"]
    assert lines(Training(times=3), over="frames") == ["training: 300 frames, _/s"]


def test_what_is_not_measured_yet_is_a_dash(eager):
    class Late(Training):
        def on_step(self):
            if self.count:
                self.loss = "n/a"

    assert lines(Late(times=2), "loss")[0] == "late: 1 of 2 passes, _/s, loss -"


def test_in_a_terminal_it_draws_a_bar(eager):
    file = Terminal()
    Training(times=3).run(cbs=Progress("loss", file=file))
    assert "training" in file.getvalue()
    assert "3 of 3 passes" in file.getvalue()
    assert "loss 0.3333" in file.getvalue()
    assert "\x1b[?25h" in file.getvalue()  # the cursor is there again


def test_the_bar_is_closed_when_the_run_fails(eager):
    class Failing(Training):
        def after_step(self):
            raise ValueError("no")

    file = Terminal()
    with pytest.raises(ValueError, match="no"):
        Failing(times=3).run(cbs=Progress(file=file))
    assert file.getvalue().count("\x1b[?25l") == file.getvalue().count("\x1b[?25h") == 1


def test_bars_of_inner_loops_stand_below(eager):
    class Inner(Training):
        call_on = "on_step"

    file = Terminal()
    Training(Inner(times=2, cbs=Progress(file=file)), Progress(file=file), times=2).run()
    assert "inner" in file.getvalue() and "training" in file.getvalue()


def test_an_unknown_field_is_an_error_before_the_first_pass():
    loop = Training(times=3)
    with pytest.raises(NoSuchField, match=r"has a field 'los'. Nearest is 'loss'."):
        loop.run(cbs=Progress("los"))
    assert loop.count == 0


def test_the_package_needs_rich_for_progress_alone():
    code = """
import sys
import looptree, looptree.callbacks
looptree.callbacks.EarlyStop, looptree.EarlyStop, looptree.Schedule
assert "rich" not in sys.modules
assert looptree.Progress is looptree.callbacks.Progress
assert "rich" in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'Progres'"):
        looptree.callbacks.Progres


# --- in a notebook ------------------------------------------------------------------------------------------

CELLS = [
    """
from looptree import Loop, Progress

class Training(Loop):
    loss: float | None = None

    def on_step(self):
        self.loss = "<b>low</b>"

class Inner(Loop):
    call_on = "on_step"

    def on_work(self):
        pass
""",
    'first = Training(times=500).run(cbs=Progress("loss"))',
    "second = Training(Inner(times=3, cbs=Progress()), times=1000).run()",
    "third = Training(Inner(times=3, cbs=Progress()), Progress(), times=1000).run()",
    """
for times in (2, 3):
    fourth = Training(times=times).run(cbs=Progress())
    print("ran")
""",
    """
import io
file = io.StringIO()
fifth = Training(times=2).run(cbs=Progress(file=file))
print(file.getvalue())
""",
]


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    return run_cells(CELLS, tmp_path_factory.mktemp("notebook"))


def shown(client, cell):
    """The outputs of a cell as text, without the rates."""
    texts = [output.get("text") or output.data["text/plain"] for output in client.nb.cells[cell].outputs]
    return [re.sub(r"[\d.,]+/s", "_/s", text.rstrip()) for text in texts]


def test_a_notebook_shows_a_bar_while_the_run_goes_on_and_one_line_at_its_end(client):
    first = Parsed(next(data["text/html"] for cell, data in client.drawn if cell == 1))
    bar = {"aria-label": "training", "value": "0", "max": "500"}
    assert [attributes for tag, attributes in first.seen if tag == "progress"] == [bar]
    last = Parsed(client.nb.cells[1].outputs[0].data["text/html"])
    assert shown(client, 1) == ["training: 500 of 500 passes, _/s, loss <b>low</b>"]
    assert "progress" not in last.tags and "b" not in last.tags
    assert [re.sub(r"[\d.,]+/s", "_/s", text) for text in last.text] == shown(client, 1)


def test_a_thousand_runs_of_an_inner_loop_do_not_flood_a_notebook(client):
    assert len(client.nb.cells[2].outputs) <= 1  # none, where no run took as long as it takes to be drawn
    assert not any(shown(client, 2))


def test_bars_of_inner_loops_share_a_display_with_the_outermost(client):
    assert shown(client, 3) == ["training: 1,000 of 1,000 passes, _/s"]


def test_runs_of_one_cell_stand_in_their_order_with_what_is_printed(client):
    lines = ["training: 2 of 2 passes, _/s", "ran", "training: 3 of 3 passes, _/s", "ran"]
    assert shown(client, 4) == lines


def test_in_a_notebook_too_a_file_gets_plain_lines(client):
    assert shown(client, 5) == ["training: 2 of 2 passes, _/s"]
