"""Who may import whom: `stream` never `agents`, `tables` only shapes."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

MAY_IMPORT = {
    "stream": {"stream"},
    "tables": {"tables", "stream.records", "stream.stripe.shapes"},
    "agents": {"agents", "tables", "stream"},
}
OURS = set(MAY_IMPORT)


def imported(module: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: imports are absolute"
            names.add(str(node.module))
    return {name for name in names if name.partition(".")[0] in OURS}


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_packages_import_only_what_they_may(package: str) -> None:
    modules = list((ROOT / package).rglob("*.py"))
    assert modules
    for module in modules:
        for name in imported(module):
            allowed = any(name == prefix or name.startswith(f"{prefix}.") for prefix in MAY_IMPORT[package])
            assert allowed, f"{module.relative_to(ROOT)} imports {name}"


def test_what_the_simulator_expects_shares_nothing_with_the_projector() -> None:
    for module in (ROOT / "stream" / "sandbox").rglob("*.py"):
        foreign = {
            name for name in imported(module) if name.startswith(("agents", "tables", "stream.stripe.shapes"))
        }
        assert not foreign, f"{module.relative_to(ROOT)} imports {foreign}"
