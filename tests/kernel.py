"""Runs notebooks in a kernel of their own, as Jupyter does."""

import os
from pathlib import Path

from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

TOP = Path(__file__).parent.parent


class Client(NotebookClient):
    """Puts the outputs of the cells into a notebook, and keeps what each display was on the way (`drawn`)."""

    def __init__(self, notebook, folder):
        self.drawn = []
        where = {"metadata": {"path": str(folder)}}
        super().__init__(notebook, timeout=60, record_timing=False, resources=where)

    def process_message(self, msg, cell, cell_index):
        if msg["msg_type"] in ("display_data", "update_display_data"):
            self.drawn.append((cell_index, msg["content"]["data"]))
        return super().process_message(msg, cell, cell_index)


def run_notebook(notebook, folder):
    """Run a notebook as if it stood in a folder, and return the client that did.

    Raises `CellExecutionError` where a cell raises, and `CellTimeoutError` where one takes more than a minute.
    """
    client = Client(notebook, folder)
    one_thread = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    client.execute(env=os.environ | {"PYTHONPATH": str(TOP)} | one_thread)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = _joined(cell.outputs)
    return client


def _joined(outputs):
    """The outputs with what was printed at a stretch in one piece, in however many it came."""
    joined = []
    for output in outputs:
        before = joined[-1] if joined else None
        if before and before.get("name") == output.get("name") and output.output_type == "stream":
            before["text"] += output["text"]
        else:
            joined.append(output)
    return joined


def run_cells(cells, folder):
    """Run some cells of Python."""
    return run_notebook(new_notebook(cells=[new_code_cell(cell) for cell in cells]), folder)
