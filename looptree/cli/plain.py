"""Plain: texts that came from somewhere else, as a terminal shows them and does nothing else."""

from __future__ import annotations


def plain(text: str) -> str:
    """A text in which what a terminal would obey (colours, a cleared screen, text that runs backwards) is written out,
    and which is one line."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
