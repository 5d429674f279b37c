"""What a person sees of the generated code in a traceback and in pdb."""

import subprocess
import sys
import traceback
from pathlib import Path

import pytest

from looptree import Callback, Loop
from looptree.core import errors

PACKAGE = str(Path(errors.__file__).parents[1])


class Innermost(Loop):
    """Its hook fails."""

    call_on = "on_batch"

    def on_step(self):
        raise ValueError("a failing hook")  # the hook's own line


class Middle(Loop):
    """Calls Innermost."""

    call_on = "on_epoch"

    def on_batch(self):
        pass


class Outer(Loop):
    """Calls Middle."""

    def on_epoch(self):
        pass


def make():
    """Three loops, of which the innermost fails in its first pass."""
    return Outer(inner_loops=Middle(inner_loops=Innermost), times=2)


def run(loop):
    """Start a run."""
    loop.run()  # the user's call


def pull(loop):
    """Pull a run."""
    for _ in loop:  # the user's call
        pass


def frames_of(start, loop):
    """The frames of the traceback from the user's call on, and the whole text."""
    with pytest.raises(ValueError, match="a failing hook") as caught:
        start(loop)
    error = caught.value
    summary = traceback.extract_tb(error.__traceback__)
    first = next(number for number, frame in enumerate(summary) if frame.name == start.__name__)
    return summary[first:], "".join(traceback.format_exception(error))


either_start = pytest.mark.parametrize("start", [run, pull])


@either_start
def test_the_traceback_shows_the_generated_lines_and_the_hooks_own(start):
    loop = make()
    frames, text = frames_of(start, loop)
    lines = loop.code.splitlines()

    assert frames[0].line.endswith("# the user's call")
    assert frames[-1].name == "on_step"
    assert frames[-1].line.startswith('raise ValueError("a failing hook")')
    assert frames[-2].line.startswith("innermost.on_step()")
    generated = [frame for frame in frames if frame.filename.startswith("<looptree")]
    assert [frame.name for frame in generated] == ["outer", "middle", "innermost"]
    for frame in generated:
        assert frame.line == lines[frame.lineno - 1].strip()
        assert frame.line in text
    assert 'raise ValueError("a failing hook")' in text


@either_start
@pytest.mark.parametrize("levels", [1, 2, 3])
def test_there_are_at_most_two_frames_of_looptree_a_level(start, levels):
    loop = make()
    if levels < 3:
        loop = loop.middle
        loop.parent.remove_loop(loop)
    if levels < 2:
        loop = loop.innermost
        loop.parent.remove_loop(loop)
    frames, _ = frames_of(start, loop)
    between = frames[1:-1]
    assert all(frame.filename.startswith((PACKAGE, "<looptree")) for frame in between)
    assert len(between) <= 2 * levels


@either_start
def test_there_are_no_more_frames_after_many_changes(start):
    class Changing(Callback):
        def after_epoch(self):
            self.loop.add_cb(Callback())

    class Calm(Innermost):
        def on_step(self):
            if self.count == 20:
                super().on_step()

    loop = Outer(inner_loops=Middle(inner_loops=Calm), cbs=Changing(), times=30)
    frames, _ = frames_of(start, loop)
    own = [frame for frame in frames if frame.filename.startswith((PACKAGE, "<looptree"))]
    assert len(own) <= 2 * 3 + 2


@either_start
@pytest.mark.parametrize("hook", ["finally_step", "finally_pass", "finally_run"])
def test_a_failing_finally_hook_is_shown_too(start, hook):
    def fails(self):
        raise ValueError("a failing hook")

    fails.__name__ = hook
    Failing = type("Failing", (Innermost,), {hook: fails, "on_step": None})
    loop = Outer(inner_loops=Middle(inner_loops=Failing))
    frames, text = frames_of(start, loop)
    assert frames[-1].name == "fails"
    assert frames[-1].line == 'raise ValueError("a failing hook")'
    generated = [frame for frame in frames if frame.filename.startswith("<looptree")]
    assert [frame.name for frame in generated] == ["outer", "middle", "failing"]
    assert hook in generated[-1].line
    assert generated[-1].line in text
    assert len(frames[1:-1]) <= 2 * 3


def test_the_traceback_is_the_originals_over_all_levels():
    error = ValueError("a failing hook")
    seen = []

    class Failing(Innermost):
        def on_step(self):
            raise error

    class Watching(Callback):
        def failed_step(self):
            seen.append([frame.name for frame in traceback.extract_tb(self.loop.error.__traceback__)])

        def failed_run(self):
            seen.append([frame.name for frame in traceback.extract_tb(self.loop.error.__traceback__)])

    loop = Outer(inner_loops=Middle(inner_loops=Failing), cbs=Watching())
    frames_of(run, loop)
    assert seen[0][-2:] == ["failing", "on_step"]
    assert seen[1][-4:] == ["outer", "middle", "failing", "on_step"]
    assert error.__cause__ is None
    assert error.__context__ is None


# --- pdb ----------------------------------------------------------------------------------------------------

SCRIPT = """
import pdb
from looptree import Loop

class Inner(Loop):
    call_on = "on_epoch"
    def before_step(self):
        pdb.set_trace()
        self.ready = True
    def on_step(self):
        self.answer = 42

class Outer(Loop):
    def on_epoch(self):
        pass

def main():
    Outer(inner_loops=Inner).run()
    print("the end")

main()
"""


def debug(tmp_path, *commands):
    """What pdb prints for these commands, in a script that stops inside a hook."""
    script = tmp_path / "training.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, str(script)],
        input="\n".join(commands) + "\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PYTHONPATH": str(Path(PACKAGE).parent), "PATH": ""},
    )
    return done.stdout + done.stderr


def test_pdb_lists_the_generated_code_and_shows_where_it_is(tmp_path):
    output = debug(tmp_path, "where", "up", "list", "p inner.index", "up", "longlist", "p outer", "continue")
    where, _, listed, index, _, whole, outer, _ = output.split("(Pdb) ")[1:]
    assert "-> inner.before_step()" in where
    assert "->" in listed
    assert "inner.before_step()" in listed
    assert "inner.on_step()" in listed  # the line that comes next
    assert index.strip() == "0"
    assert "def outer(" in whole
    assert "outer.on_epoch()" in whole
    assert "on_epoch" in outer
    assert output.rstrip().endswith("the end")


def test_pdb_steps_from_the_generated_line_into_the_hook(tmp_path):
    # Out of the hook that stopped; since Python 3.13 it stops at set_trace() itself, and not at the line after it.
    out = ("return", "next")
    output = debug(tmp_path, *out, "step", "where", "next", "next", "p self.answer", "return", "next", "continue")
    stops = [line for line in output.splitlines() if line.startswith(("> ", "(Pdb) > "))]
    assert any("<looptree" in stop for stop in stops)
    assert any("training.py" in stop and "on_step()" in stop for stop in stops)
    assert "--Call--" in output
    assert "-> inner.on_step()" in output
    assert "-> def on_step(self):" in output
    assert "-> self.answer = 42" in output
    assert "(Pdb) 42" in output
    assert output.rstrip().endswith("the end")
