"""What happens once in a program: importing looptree, and binding a tree."""

import subprocess
import sys
from collections.abc import Iterator

from measure import timed
from table import Row

from looptree import Loop

UNWANTED = ("torch", "numpy", "rich", "gymnasium", "tyro", "ray")

IMPORT = """
import sys, time
start = time.process_time()
import looptree
print((time.process_time() - start) * 1e3, *sorted(set(sys.argv[1:]) & set(sys.modules)))
"""


def level(number: int) -> type[Loop]:
    """A loop class with twenty hooks, which read and write fields through a helper."""
    lines = [
        f"class Level{number}(Loop):",
        "    total = 0",
        "    def amount(self):",
        "        return self.total + 1",
    ]
    for event in ("load", "forward", "loss", "step"):
        for moment in ("before", "on", "after", "failed", "finally"):
            lines += [f"    def {moment}_{event}(self):", "        self.total = self.amount()"]
    scope = {"Loop": Loop, "__name__": __name__}
    exec("\n".join(lines), scope)
    return scope[f"Level{number}"]


def binding_ms() -> float:
    """Milliseconds until ten nested loops of twenty hooks each are bound and their code is written."""
    root = parent = level(0)()
    for number in range(1, 10):
        inner = level(number)(call_on="on_step")
        parent.add_loop(inner)
        parent = inner
    return timed(lambda: (root.check(), root.code)) / 1e6


def importing() -> tuple[float, list[str]]:
    """Milliseconds of `import looptree` in a fresh interpreter, and what it imported but must not."""
    done = subprocess.run([sys.executable, "-c", IMPORT, *UNWANTED], capture_output=True, text=True, check=True)
    milliseconds, *modules = done.stdout.split()
    return float(milliseconds), modules


def rows(repeats: int) -> Iterator[Row]:
    """Milliseconds, the fastest of so many repeats."""
    bindings = [binding_ms() for _ in range(repeats)]
    imports = [importing() for _ in range(repeats)]
    yield Row("binding 10 loops and 200 hooks", {"ms": min(bindings)}, "ms", 100)
    yield Row("import looptree", {"ms": min(ms for ms, _ in imports)}, "ms", 60)
    found = imports[0][1]
    yield Row(f"  and of {', '.join(UNWANTED)}", {"modules": len(found)}, "modules", 0)
