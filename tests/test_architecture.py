"""Top-level folders import one way, and only public names; inside a folder imports are relative and never mutual."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAY_IMPORT = {
    "prompts": set(),
    "llms": {"prompts"},
    "chains": {"llms", "prompts"},
    "command": {"llms", "prompts"},
    "agents": {"chains", "command", "llms", "prompts"},
    "pretraining": set(),
    "endpoints": {"llms", "prompts"},
    "local_aws": {"endpoints", "llms", "prompts"},
    "apps": {"agents", "chains", "command", "endpoints", "llms", "local_aws", "pretraining", "prompts"},
}
"""The top-level folders, and which of the others each may import."""
AGENTS = {"codeparrot_completion", "falcon_chain_of_thought", "falcon_chatbot", "llama2_assistant", "llama2_chatbot"}
PUBLIC_MODULES = {"errors", "testing"} | AGENTS
"""Modules that other folders import directly; everything else comes from the `__init__` of a folder."""


def modules() -> list[Path]:
    return [path for folder in MAY_IMPORT for path in sorted((ROOT / folder).rglob("*.py"))]


def dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def sources() -> dict[str, Path]:
    return {dotted(path): path for path in modules()}


def imports(path: Path) -> Iterator[tuple[str, str, bool, int]]:
    """Module, name, whether it is relative, and line of each import of `sagechain`, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            package = path.relative_to(ROOT).parent.parts[: None if node.level == 1 else 1 - node.level]
            module = ".".join([*package, *([node.module] if node.module else [])])
            yield from ((module, alias.name, True, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and re.match(r"sagechain(\.|$)", node.module or ""):
            module = (node.module or "").removeprefix("sagechain").removeprefix(".")
            yield from ((module, alias.name, False, node.lineno) for alias in node.names)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if re.match(r"sagechain(\.|$)", alias.name):
                    yield alias.name.removeprefix("sagechain").removeprefix("."), "", False, node.lineno


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_folders_import_one_way(folder: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        for module, _, _, line in imports(path)
        if module.split(".")[0] not in MAY_IMPORT[folder] | {folder}
    ]
    assert wrong == []


def test_imports_inside_a_folder_are_relative() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports sagechain.{module}"
        for path in modules()
        for module, _, is_relative, line in imports(path)
        if not is_relative and module.split(".")[0] == path.relative_to(ROOT).parts[0]
    ]
    assert wrong == []


def test_only_public_names_are_imported_from_other_folders() -> None:
    """Public are the names in the `__init__` of a folder, except its modules, and `PUBLIC_MODULES`."""
    wrong = []
    for path in modules():
        for module, name, is_relative, line in imports(path):
            if is_relative or module.split(".")[0] == path.relative_to(ROOT).parts[0]:
                continue
            is_public = sources()[module].name == "__init__.py" or module.split(".")[-1] in PUBLIC_MODULES
            is_module = f"{module}.{name}" in sources() and name not in PUBLIC_MODULES
            if not is_public or is_module:
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {name} from {module}")
    assert wrong == []


def test_no_two_modules_import_each_other() -> None:
    arrows = set()
    for path in modules():
        for module, name, _, _ in imports(path):
            target = f"{module}.{name}" if f"{module}.{name}" in sources() else module
            if path.name != "__init__.py":
                arrows.add((dotted(path), target))
    assert sorted((a, b) for a, b in arrows if a < b and (b, a) in arrows) == []
