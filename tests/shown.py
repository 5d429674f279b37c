"""Runs what a Markdown page shows: its Python blocks, one after the other, and the output written below each.

A ```text block below a ```python block is what the Python prints; ```text times is the same with times in it, which are
compared without their figures (see `comparable`). The blocks of a page share one namespace, and stand in it at the
lines where they stand on the page, so that the page's name and lines appear in what looptree prints.
`LOOPTREE_SHOWN=write` writes the output anew instead of comparing it.
"""

import contextlib
import io
import linecache
import os
import re
from dataclasses import dataclass

_BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_VARIES = {
    "times": re.compile(r"[-\d.,]+ ?(ns|µs|ms|s|%|/s)(?=[\s,]|$)"),
    "figures": re.compile(r"[-\d.,]*\d"),
    "digests": re.compile(r"#[0-9a-f]{8}\b"),
    "lines": re.compile(r"(?<=\.py:)\d+"),
}


@dataclass
class Shown:
    """Some Python, the line where it begins, and the output that the page says it has."""

    code: str
    line: int
    output: str | None
    place: tuple[int, int]  # of the output in the page
    varies: list[str]


def shown_in(text):
    """The Python blocks of a page."""
    found = []
    for match in _BLOCK.finditer(text):
        language, info, body = match.groups()
        if language == "python":
            line = text.count("\n", 0, match.start(3)) + 1
            found.append(Shown(body, line, None, (0, 0), []))
        elif language == "text" and found and found[-1].output is None:
            found[-1].output, found[-1].place = body, match.span(3)
            found[-1].varies = info.split()
    return found


def run_page(path, name):
    """Run a page, and compare what it shows; or rewrite it, until writing it moves no line any more."""
    if os.environ.get("LOOPTREE_SHOWN") == "write":
        while (text := _rewritten(path.read_text(), name)) != path.read_text():
            path.write_text(text)
        return
    for block, output in _printed(path.read_text(), name):
        assert comparable(output, block.varies) == comparable(block.output, block.varies), f"{name}:{block.line}"


def _printed(text, name):
    """The blocks of a page that show output, each with what it prints now."""
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    namespace = {"__name__": "__main__"}
    printed = []
    for block in shown_in(text):
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(compile("\n" * (block.line - 1) + block.code, name, "exec"), namespace)
        if block.output is None:
            assert not output.getvalue(), f"{name}:{block.line} prints, and the page does not show it"
        else:
            printed.append((block, output.getvalue()))
    return printed


def _rewritten(text, name):
    """A page with the output that its code has now; times that would not compare as others stay as they are."""
    for block, output in reversed(_printed(text, name)):
        if comparable(output, block.varies) != comparable(block.output, block.varies):
            start, end = block.place
            text = text[:start] + output + text[end:]
    return text


def comparable(output, varies=()):
    """The lines of an output, without what varies from run to run or from machine to machine: its "times", all its
    "figures", the "digests" of what was learnt, or the "lines" of places in files."""
    lines = [line.rstrip() for line in output.rstrip().splitlines()]
    for kind in varies:
        lines = [re.sub(r"[ ─]+", " ", _VARIES[kind].sub("#", line)).strip() for line in lines]
    return lines
