"""A run that is looked at is drawn once for all who look."""

from pathlib import Path

import pytest

from looptree.observe.report.latest import Latest
from looptree.observe.runs import NotARun
from tests.observe.recorded import recorded


def test_all_who_ask_get_the_same_drawing(tmp_path: Path) -> None:
    latest = Latest(recorded(tmp_path / "run"))
    assert len({id(latest.drawing()) for _ in range(100)}) == 1


def test_all_who_ask_about_a_run_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    run = recorded(tmp_path / "run")
    (run.folder / "code.json").unlink()
    latest = Latest(run)
    for _ in range(3):
        with pytest.raises(NotARun, match=r"code\.json cannot be read"):
            latest.drawing()
