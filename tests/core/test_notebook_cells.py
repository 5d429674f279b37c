"""What a loop shows in a notebook, and what its cells are called."""

import pytest

from looptree import Callback, Loop
from tests.kernel import run_cells
from tests.parsed_html import Parsed, shown_html


class Fit(Loop):
    def on_step(self):
        self.loss = 1.0


class Misspelt(Callback):
    def before_stpe(self):
        pass


def test_a_loop_shows_itself_as_a_tree_that_folds():
    page = Parsed(shown_html(Fit(times=3)))
    assert {"details", "summary"} <= set(page.tags)
    assert page.text[:2] == ["fit: Fit", "3 passes"]
    assert page.text[-2:] == ["writes", "fit.loss"]


def test_a_loop_that_cannot_run_shows_why_and_the_line_to_write():
    class Odd(Misspelt):
        def __init__(self):
            self.name = "odd"

    Odd.__name__ = "<script>"
    page = Parsed(shown_html(Fit(cbs=[Odd], name="fit")))
    words = " ".join(page.text)
    assert words.startswith("Fit 'fit' cannot run yet: <script>.before_stpe")
    assert "write: def before_step(self):" in words
    assert "script" not in page.tags


CELLS = [
    """\
from looptree import Callback, Loop

class Fit(Loop):
    def on_step(self):
        if self.index == 2:
            raise ValueError("too far")

class Misspelt(Callback):
    def before_stpe(self):
        pass
""",
    "Fit(times=2)",
    "print(Fit(times=2).code)",
    "Fit(cbs=Misspelt)",
]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    return [cell.outputs for cell in run_cells(CELLS, tmp_path_factory.mktemp("notebook")).nb.cells]


def test_hooks_of_a_cell_stand_in_a_cell_by_its_number(outputs):
    assert outputs[1][0].data["text/plain"] == "fit: Fit · 2 passes  In[1]:3\n└─ on_step           In[1]:4"
    assert "fit.on_step()" in outputs[2][0].text and "# In[1]:4\n" in outputs[2][0].text


def test_a_notebook_is_given_html_beside_the_text(outputs):
    assert "In[1]:4" in Parsed(outputs[1][0].data["text/html"]).text
    assert outputs[3][0].data["text/plain"].startswith("<Fit 'fit', which cannot run yet: ")
    assert "In[1]:9" in Parsed(outputs[3][0].data["text/html"]).text
