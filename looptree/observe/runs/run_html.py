"""A run as HTML for a notebook: in short."""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping
from html import escape
from pathlib import Path

from looptree.core.markup import element, table


def run_html(folder: Path, how: str, how_far: str, metrics: Mapping[str, str]) -> str:
    """How a run went and how far it came, its metrics by name, and a link to its folder."""
    lines = f'<p><a href="{_address(folder)}">{escape(str(folder))}</a>: {escape(how)}</p>\n<p>{escape(how_far)}</p>\n'
    rows = (map(escape, row) for row in metrics.items())
    return element("run", lines + (table(("metric", "latest"), rows) if metrics else ""))


def _address(folder: Path) -> str:
    """Seen from the notebook, which is run in the folder where it is."""
    return escape(folder.as_uri() if folder.is_absolute() else urllib.parse.quote(f"./{folder.as_posix()}"))
