"""Every notebook runs from top to bottom, and says what it says where it is kept.

Its cells are run in a kernel, and what they show is compared as text. A cell's tags say what of that varies:
`times`, `figures` or `digests` (see `tests.shown.comparable`); at which line of a file of looptree something stands
always does. `LOOPTREE_SHOWN=write` keeps the notebook with what its cells show now, where that compares as something
else.
"""

import copy
import os
from pathlib import Path

import nbformat
import pytest

from tests.kernel import run_notebook
from tests.shown import comparable

FOLDER = Path(__file__).parent.parent / "examples" / "notebooks"


def kept(name):
    """A notebook as it is kept."""
    return nbformat.read(FOLDER / name, as_version=4)


def shown(cell):
    """All that a cell shows, as lines of text that can be compared."""
    varies = [tag for tag in cell.metadata.get("tags", ()) if tag in ("times", "figures", "digests")] + ["lines"]
    return [comparable(_text(output), varies) for output in cell.get("outputs", ())]


def _text(output):
    return output["text"] if output["output_type"] == "stream" else output["data"]["text/plain"]


def everything(notebook):
    return [shown(cell) for cell in notebook.cells]


def lines_of(notebook, tag):
    """What the one cell with a tag shows."""
    (cell,) = (cell for cell in notebook.cells if tag in cell.metadata.get("tags", ()))
    return [line for output in shown(cell) for line in output]


@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.glob("*.ipynb")))
def test_a_notebook_shows_what_its_cells_show_when_they_are_run(name, tmp_path):
    notebook = kept(name)
    nbformat.validate(notebook)
    run = run_notebook(copy.deepcopy(notebook), tmp_path).nb
    if os.environ.get("LOOPTREE_SHOWN") == "write" and everything(run) != everything(notebook):
        run.metadata = notebook.metadata  # without the version of Python that ran it
        nbformat.write(run, FOLDER / name)
        return
    for now, before in zip(run.cells, notebook.cells, strict=True):
        assert shown(now) == shown(before), f"{name}, the cell {before.id}"


def last_return(notebook, tag):
    """The figure at the end of what a cell printed."""
    (cell,) = (cell for cell in notebook.cells if tag in cell.metadata.get("tags", ()))
    return float(cell.outputs[0]["text"].split()[-1])


STALE = "seeing_a_dqn_bug.ipynb"
ACTING = ("dqn.source.agent.network", "dqn.valid_source.agent.network")


def test_the_agent_of_the_stale_copy_learns_nothing_and_the_mended_one_learns():
    assert last_return(kept(STALE), "returns") < 15
    assert last_return(kept(STALE), "mended returns") > 30


def test_an_agent_with_an_exploration_and_a_loss_of_its_own_learns():
    assert last_return(kept("customising_an_algorithm.ipynb"), "returns") > 30


def test_the_cell_that_claims_to_find_the_stale_copy_finds_it():
    found = {line.split()[0]: line for line in lines_of(kept(STALE), "finding")}
    assert "QUpdate.on_step" in found["dqn.network"]
    for field in ACTING:
        assert found[field].split()[1:3] == ["0", "-"]
        assert "same object as dqn.network" not in found[field]


def test_without_the_bug_the_same_cell_finds_nothing(tmp_path):
    notebook = kept(STALE)
    tags = [cell.metadata.get("tags", ()) for cell in notebook.cells]
    bug = next(number for number, each in enumerate(tags) if "bug" in each)
    finding = next(number for number, each in enumerate(tags) if "finding" in each)
    notebook.cells = [*notebook.cells[:bug], notebook.cells[finding]]
    found = {line.split()[0]: line for line in lines_of(run_notebook(notebook, tmp_path).nb, "finding")}
    for field in ACTING:
        assert found[field].endswith("same object as dqn.network")
        assert "QUpdate.on_step" in found[field] and found[field].split()[1] == found["dqn.network"].split()[1]
