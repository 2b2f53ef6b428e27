"""What a user gets by pip: the wheel has every file, and answers in an environment of its own, without torch."""

import os
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
KINDS = {".jinja", ".py", ".pyi", ".typed", ".yaml"}


def packages() -> dict[str, str]:
    mapping: dict[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-dir"]
    return mapping


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy: a build leaves files behind."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in [*packages().values(), "pyproject.toml", "README.md", "LICENSE"]:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / "tree" / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / "tree" / name) if (folder / "tree").is_dir() else None
    command = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(folder),
        str(folder / "tree"),
    ]
    subprocess.run(command, check=True, capture_output=True)
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def empty_environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs in a new environment."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    return folder / "bin"


def test_the_wheel_holds_exactly_the_files_of_the_tree(wheel: Path) -> None:
    expected = {
        f"{package.replace('.', '/')}/{path.relative_to(ROOT / folder)}"
        for package, folder in packages().items()
        for path in (ROOT / folder).rglob("*")
        if path.suffix in KINDS or path.name == "py.typed"
    }
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert found == expected
    assert all(f"sagechain/{folder}/py.typed" in found for folder in packages().values())


@pytest.mark.timeout(1200)
def test_the_wheel_answers_in_an_environment_of_its_own_without_torch(
    wheel: Path, empty_environment: Path, smollm2: Path
) -> None:
    pip = [
        str(empty_environment / "python"),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--constraint",
        str(ROOT / "constraints.txt"),
    ]
    subprocess.run([*pip, str(wheel)], check=True, capture_output=True)
    command = str(empty_environment / "sagechain")

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        return subprocess.run(
            [command, *arguments],
            capture_output=True,
            text=True,
            check=False,
            env=environment,
            stdin=subprocess.DEVNULL,
        )

    assert run("--version").stdout == "sagechain 0.1.0\n"
    without = run("ask", "Hi")
    assert (without.returncode, without.stdout) == (1, "")
    assert 'pip install "sagechain[local]"' in without.stderr

    subprocess.run([*pip, f"{wheel}[local]"], check=True, capture_output=True)
    answered = run("ask", "What is the capital of France?", "-s", "Be brief.", "-p", "max_new_tokens=20")
    assert (answered.returncode, answered.stderr) == (0, "")
    assert answered.stdout.strip()
    no_torch = [str(empty_environment / "python"), "-c", "import torch"]
    assert b"No module named 'torch'" in subprocess.run(no_torch, capture_output=True, check=False).stderr
