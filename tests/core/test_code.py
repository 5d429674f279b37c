"""The generated code, kept as files: a change of it is read in review like any other code.

`LOOPTREE_GOLDEN=write pytest tests/core/test_code.py` writes them anew.
"""

import ast
import linecache
import os
import re
from pathlib import Path

import pytest

from looptree import Profile, Trace
from tests.core.golden_trees import TREES

GOLDEN = Path(__file__).parent / "golden"


def same_as_kept(name, text):
    kept = GOLDEN / f"{name}.py"
    if os.environ.get("LOOPTREE_GOLDEN") == "write":
        kept.write_text(text)
    assert text == kept.read_text()


@pytest.mark.parametrize("name", TREES)
def test_the_code_is_the_one_that_is_kept(name):
    same_as_kept(name, TREES[name]().code)


def test_the_code_of_a_pulled_loop_is_the_one_that_is_kept():
    before = set(linecache.cache)
    pulled = iter(TREES["counting"]())
    next(pulled)
    shown = [name for name in set(linecache.cache) - before if "pulled" in name]
    same_as_kept("counting_pulled", "".join(linecache.getlines(shown[0])))


@pytest.mark.parametrize("name", TREES)
def test_the_code_is_one_function_a_loop_named_after_it(name):
    loop = TREES[name]()
    functions = [node.name for node in ast.parse(loop.code).body]
    assert functions == [plan.name for plan in loop.plan.walk()]


@pytest.mark.parametrize("name", TREES)
def test_the_code_of_an_equal_tree_is_the_same_text(name):
    assert TREES[name]().code == TREES[name]().code


@pytest.mark.parametrize("name", TREES)
@pytest.mark.parametrize("watch", [Profile, Trace])
def test_watching_leaves_the_code_as_it_was(name, watch):
    loop = TREES[name]()
    before = loop.code
    with watch(loop):
        loop.run()
        assert loop.code != before
    assert loop.code == before


def test_the_code_of_an_inner_loop_is_its_part_of_the_whole():
    loop = TREES["training"]()
    assert loop.batches.code in loop.code
    assert loop.batches.code.startswith("def batches(")


def test_what_nobody_hooks_is_not_in_the_code():
    code = TREES["counting"]().code
    assert "finally" not in code
    assert "phase" not in code


def test_every_hook_stands_in_the_code_with_its_source():
    loop = TREES["training"]()
    for plan in loop.plan.walk():
        for step in plan.steps():
            if hasattr(step, "source") and step.name != "switch_phase":
                name = re.escape(step.owner.rpartition(".")[2] + "." + step.name)
                assert re.search(rf"{name}.*{re.escape(step.source)}", loop.code), step
