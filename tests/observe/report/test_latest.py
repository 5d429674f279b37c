"""A run that is looked at is drawn once for all who look."""

import time
from pathlib import Path

import pytest

from looptree.observe.report.latest import Latest
from looptree.observe.runs import NotARun, Run
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


class ShortOfMemory(Run):
    """Cannot be read for a while."""

    short = False
    failed = 0

    @property
    def timings(self):
        if self.short:
            self.failed += 1
            raise MemoryError
        return super().timings


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_drawing_that_failed_is_tried_again(tmp_path: Path) -> None:
    run = ShortOfMemory(recorded(tmp_path / "run").folder)
    latest = Latest(run)
    first = latest.drawing()
    until_s = time.monotonic() + 30
    run.short = True
    while not run.failed:
        assert latest.drawing() is first
        assert time.monotonic() < until_s
        time.sleep(0.1)
    run.short = False
    while latest.drawing() is first:
        assert time.monotonic() < until_s
        time.sleep(0.1)
