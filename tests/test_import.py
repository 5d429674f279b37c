"""``import looptree`` is quick and needs nothing: each check runs in an interpreter of its own."""

import subprocess
import sys

OPTIONAL = ["torch", "numpy", "rich", "gymnasium", "tyro", "ray"]

BLOCK = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked}:
            raise ModuleNotFoundError("No module named " + repr(name), name=name)
sys.meta_path.insert(0, Blocked())
"""


def python(code: str) -> str:
    """What the code prints in a fresh interpreter; its standard error is part of a failure's message."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_looptree_imports_no_optional_package() -> None:
    assert python(f"import sys, looptree; print(sorted(set({OPTIONAL}) & set(sys.modules)))") == "[]"


RUN = """
import looptree
class Fit(looptree.Loop):
    def on_batch(self):
        self.seen = self.item
class Print(looptree.Callback):
    def after_batch(self):
        print(self.seen, end=" ")
print(Fit(cbs=Print).run(3).ended)
"""


def test_a_loop_runs_where_no_optional_package_is_installed() -> None:
    assert python(BLOCK.format(blocked=OPTIONAL) + RUN) == "0 1 2 ran all 3 items"
