"""Findings as HTML, for a notebook that shows a loop which cannot run yet."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from looptree.core.findings import Finding
from looptree.core.markup import element

_STYLE = """
.looptree.findings li p {white-space: normal; max-width: 64em}
.looptree.findings .write {font-weight: 600}
""".strip()


def findings_html(title: str, findings: Iterable[Finding]) -> str:
    """Each finding with its place, what was given, what fits, and the line to write."""
    items = "".join(f"<li>{_finding(finding)}</li>\n" for finding in findings)
    return element("findings", f"<p>{escape(title)}</p>\n<ol>\n{items}</ol>", _STYLE)


def _finding(finding: Finding) -> str:
    return (
        f'<p>{escape(finding.given)} {escape(finding.fits)} <span class="note">{escape(finding.place)}</span></p>'
        f'<p>write: <code class="write">{escape(finding.write)}</code></p>'
    )
