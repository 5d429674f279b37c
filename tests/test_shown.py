"""What README and docs show is what runs."""

from pathlib import Path

import pytest

from tests.shown import run_page, shown_in

TOP = Path(__file__).parent.parent
PAGES = [TOP / "README.md", *sorted((TOP / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_a_page_shows_what_its_code_prints(page):
    run_page(page, str(page.relative_to(TOP)))


def test_the_readme_shows_code():
    assert len(shown_in(PAGES[0].read_text())) >= 4
