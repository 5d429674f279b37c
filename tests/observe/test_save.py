"""What is saved is in its place whole, and nowhere else."""

import os
import stat
from pathlib import Path

import pytest

from looptree.observe.save import CannotSave, save_whole


def test_links_that_stand_in_the_way_are_replaced_and_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("mine")
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("report.html", f".report.html.{os.getpid()}.part"):
        (folder / name).symlink_to(outside)
    save_whole("page", folder / "report.html")
    assert outside.read_text() == "mine"
    assert [(path.name, path.is_symlink(), path.read_text()) for path in folder.iterdir()] == [
        ("report.html", False, "page")
    ]


@pytest.mark.parametrize("through_a_link", [False, True])
def test_what_is_no_ordinary_file_stays_what_it_is(tmp_path: Path, through_a_link: bool) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    name = pipe
    if through_a_link:
        (name := tmp_path / "link").symlink_to(pipe)
    with pytest.raises(CannotSave, match=f"^{name} cannot be written: it is no ordinary file. Name a file in a folder"):
        save_whole("page", name)
    assert stat.S_ISFIFO(pipe.stat().st_mode) and name.is_symlink() == through_a_link
    assert set(tmp_path.iterdir()) == {pipe, name}
