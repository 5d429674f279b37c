"""Imports only go down the floors: every module's imports are read, wherever they stand in it."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TOP = "looptree"
FLOORS = {"core": 0, "observe": 1, "callbacks": 1, "rl": 2, "distributed": 3, "cli": 4}
STRANGERS = {("observe", "rl"), ("rl", "observe")}
REPOSITORY = Path(__file__).resolve().parents[1]


def module_name(path: Path, folder: Path) -> str:
    parts = path.relative_to(folder).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules(folder: Path) -> dict[str, Path]:
    """Every module of the package that stands in the folder, by its dotted name."""
    return {module_name(path, folder): path for path in sorted((folder / TOP).rglob("*.py"))}


def package_of(module: str) -> str:
    """The floor's package that a module belongs to; the top package itself and its own files: ''."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in FLOORS else ""


def imported(node: ast.Import | ast.ImportFrom, module: str, path: Path, known: set[str]) -> list[str]:
    """The modules that a statement imports, absolute; ``from package import submodule`` is the submodule."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    base = node.module or ""
    if node.level:
        package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
        above = package[: len(package) - (node.level - 1)]
        base = ".".join([*above, base] if base else above)
    names = [f"{base}.{alias.name}" for alias in node.names]
    return sorted({name if name in known else base for name in names})


def statements(
    tree: ast.AST, in_function: bool = False, for_types: bool = False
) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool, bool]]:
    """Each import below the node, whether a function holds it, and whether only a type checker runs it."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node, in_function, for_types
        function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        types = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        yield from statements(node, in_function or function, for_types or types)


def complaint(module: str, target: str) -> str | None:
    """What is wrong with this module importing that one, or None."""
    here, top = package_of(module), target.split(".")[0]
    if top != TOP:
        if here in ("core", "") and top not in sys.stdlib_module_names:
            return f"imports {target}: {here or TOP} needs the standard library only"
        return None
    there = package_of(target)
    if target == TOP and here:
        return f"imports {TOP} itself, which reaches every floor: import from the floor that has the name"
    if not here and there not in ("", "core"):
        return f"imports {target}: {TOP} loads names of higher floors on first use, in its __getattr__"
    if (here, there) in STRANGERS:
        return f"imports {target}: {here} and {there} never import each other"
    if here and there and FLOORS[there] > FLOORS[here]:
        return f"imports {target}: {there} (floor {FLOORS[there]}) stands above {here} (floor {FLOORS[here]})"
    return None


def upward_imports(folder: Path) -> list[str]:
    """Every import that breaks the floors' rules, as ``file:line message``."""
    found, every = [], modules(folder)
    for module, path in every.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node, in_function, for_types in statements(tree):
            place = f"{path.relative_to(folder)}:{node.lineno}"
            targets = imported(node, module, path, set(every))
            found += [f"{place} {text}" for target in targets if (text := complaint(module, target))]
            if in_function:
                found.append(f"{place} imports inside a function: imports stand at the top of a file")
            if for_types and any(target.split(".")[0] == TOP for target in targets):
                found.append(f"{place} imports for the type checker only: the name is on the wrong floor")
    return found


def cycles(folder: Path) -> list[str]:
    """Each module that reaches itself through imports, with one shortest way round."""
    every = modules(folder)
    edges = {
        module: {
            target
            for node, _, _ in statements(ast.parse(path.read_text(encoding="utf-8")))
            for target in imported(node, module, path, set(every))
            if target in every
        }
        for module, path in every.items()
    }
    found = []
    for start in edges:
        ways, seen = [[start]], set()
        while ways:
            way = ways.pop(0)
            for target in sorted(edges[way[-1]]):
                if target == start:
                    found.append(" -> ".join([*way, start]))
                    ways = []
                    break
                if target not in seen:
                    seen.add(target)
                    ways.append([*way, target])
    return found


def test_every_import_goes_down() -> None:
    assert upward_imports(REPOSITORY) == []


def test_no_module_imports_itself_through_others() -> None:
    assert cycles(REPOSITORY) == []


def test_every_package_has_a_floor() -> None:
    packages = {path.parent.name for path in (REPOSITORY / TOP).glob("*/__init__.py")}
    assert packages <= set(FLOORS)


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / TOP / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "text", "finding"),
    [
        (
            "core/a.py",
            "import json\nimport numpy as np",
            "2 imports numpy: core needs the standard library only",
        ),
        (
            "core/a.py",
            "import looptree.rl.b",
            "1 imports looptree.rl.b: rl (floor 2) stands above core (floor 0)",
        ),
        (
            "core/a.py",
            "from ..rl import b",
            "1 imports looptree.rl.b: rl (floor 2) stands above core (floor 0)",
        ),
        (
            "core/__init__.py",
            "from ..rl import b",
            "1 imports looptree.rl.b: rl (floor 2) stands above core (floor 0)",
        ),
        (
            "callbacks/a.py",
            "from looptree.rl.b import B",
            "1 imports looptree.rl.b: rl (floor 2) stands above callbacks (floor 1)",
        ),
        (
            "rl/a.py",
            "from looptree.observe import c",
            "1 imports looptree.observe.c: rl and observe never import each other",
        ),
        (
            "observe/a.py",
            "from looptree import rl",
            "1 imports looptree.rl: observe and rl never import each other",
        ),
        (
            "rl/a.py",
            "from looptree import Loop",
            "1 imports looptree itself, which reaches every floor: import from the floor that has the name",
        ),
        (
            "__init__.py",
            "import looptree.rl",
            "1 imports looptree.rl: looptree loads names of higher floors on first use, in its __getattr__",
        ),
        ("__init__.py", "import torch", "1 imports torch: looptree needs the standard library only"),
        (
            "rl/a.py",
            "class A:\n    def f(self):\n        import torch",
            "3 imports inside a function: imports stand at the top of a file",
        ),
        (
            "rl/a.py",
            "import typing\nif typing.TYPE_CHECKING:\n    from .b import B",
            "3 imports for the type checker only: the name is on the wrong floor",
        ),
    ],
)
def test_a_wrong_import_is_named_with_its_line(tmp_path: Path, name: str, text: str, finding: str) -> None:
    write(
        tmp_path,
        {
            "__init__.py": "",
            "rl/__init__.py": "",
            "rl/b.py": "",
            "observe/__init__.py": "",
            "observe/c.py": "",
        },
    )
    write(tmp_path, {name: text})
    assert f"looptree/{name}:{finding}" in upward_imports(tmp_path)


def test_right_imports_pass(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "__init__.py": "import importlib\nfrom .core import a",
            "core/__init__.py": "from .a import A",
            "core/a.py": "import ast\nfrom collections import abc",
            "callbacks/b.py": "import rich\nfrom looptree.core.a import A",
            "rl/__init__.py": "",
            "rl/c.py": "import torch\nfrom ..callbacks.b import B\nfrom looptree.core import A",
            "cli/d.py": "import typing\nfrom looptree.rl import c\nif typing.TYPE_CHECKING:\n    import tyro",
        },
    )
    assert upward_imports(tmp_path) == []
    assert cycles(tmp_path) == []


def test_a_cycle_is_shown_as_the_way_round(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "core/a.py": "from . import b",
            "core/b.py": "import looptree.core.c",
            "core/c.py": "from .a import A",
        },
    )
    write(tmp_path, {"core/__init__.py": ""})
    assert "looptree.core.a -> looptree.core.b -> looptree.core.c -> looptree.core.a" in cycles(tmp_path)
