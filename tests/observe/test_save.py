"""What is saved is in its place whole, and nowhere else."""

import os
from pathlib import Path

from looptree.observe.save import save_whole


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
