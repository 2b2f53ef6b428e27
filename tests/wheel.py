"""The wheel, built from a copy of the tree, since a build creates files in it."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent


def folders() -> dict[str, str]:
    """The top-level folder of each package that has one."""
    mapping: dict[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-dir"]
    return mapping


def build_wheel(out: Path) -> Path:
    """Build the wheel into a folder, with the build tools of this environment."""
    for name in folders().values():
        shutil.copytree(ROOT / name, out / "tree" / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, out / "tree" / name)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(out / "tree")]
    subprocess.run(build, check=True, capture_output=True)
    shutil.rmtree(out / "tree")
    [built] = out.glob("*.whl")
    return built
