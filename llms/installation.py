"""The shell command that adds an extra to this installation, made from where it came from.

pip and uv record that in `direct_url.json` (PEP 610): a checkout, a wheel's file, a repository's commit. Without that
record, or when the file is gone, the command names the packages of the extra themselves. It never requests `sagechain`
from an index: the project is not published, so anybody may hold the name there.
"""

import json
import re
import shlex
import shutil
import sys
from importlib.metadata import Distribution, distributions
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

NAME = "sagechain"


def install_command(extra: str) -> str:
    """One line that installs the extra beside what is installed, with the interpreter that runs now.

    Args:
        extra: a name of pyproject.toml's `optional-dependencies`, such as "local".
    """
    found = sorted(distributions(name=NAME), key=lambda each: each.read_text("direct_url.json") is None)
    if not found:  # imported from a folder that was never installed
        return f'install {NAME} again from where it came, with "[{extra}]" behind the path'
    arguments = _from_its_origin(found[0], extra) or [_quoted(each) for each in _requirements(found[0], extra)]
    return " ".join([_installer(), *arguments])


def _from_its_origin(distribution: Distribution, extra: str) -> list[str]:
    """pip's arguments, or none where the origin is unknown, gone, or an address that only a secret part of it opens."""
    origin: dict[str, Any] = json.loads(distribution.read_text("direct_url.json") or "{}")
    url = urlsplit(origin.get("url", ""))
    if url.scheme == "file" and "vcs_info" not in origin:
        path = url2pathname(url.path)
        editable = ["-e"] if origin.get("dir_info", {}).get("editable") else []
        return [*editable, _quoted(f"{path}[{extra}]")] if Path(path).exists() else []
    if not url.scheme or url.query or url.password or (url.username or "git") != "git":
        return []
    address = url.geturl()
    if vcs := origin.get("vcs_info"):
        address = f"{vcs['vcs']}+{address}@{vcs['commit_id']}"
    if folder := origin.get("subdirectory"):
        address += f"#subdirectory={folder}"
    return [_quoted(f"{NAME}[{extra}] @ {address}")]


def _requirements(distribution: Distribution, extra: str) -> list[str]:
    """The packages that the extra adds, those of other extras that it includes as well."""
    from packaging.requirements import Requirement

    packages: list[str] = []
    for requirement in map(Requirement, distribution.requires or []):
        marker, requirement.marker = requirement.marker, None
        if marker is None or marker.evaluate({"extra": ""}) or not marker.evaluate({"extra": extra}):
            continue
        if requirement.name == NAME:
            packages += [each for other in sorted(requirement.extras) for each in _requirements(distribution, other)]
        else:
            packages.append(str(requirement))
    return list(dict.fromkeys(packages))


def _installer() -> str:
    """`pip install`, for the environment of this interpreter."""
    python = shlex.quote(sys.executable)
    if find_spec("pip") is None and shutil.which("uv"):
        return f"uv pip install --python {python}"
    pip = shutil.which("pip")
    if pip and Path(pip).parent == Path(sys.executable).parent:
        return "pip install"
    return f"{python} -m pip install"


def _quoted(text: str) -> str:
    """As one word of a shell; in double quotes where they are enough, since people know these from other commands."""
    if re.fullmatch(r'[^"$`\\!\n]+', text) and shlex.quote(text) != text:
        return f'"{text}"'
    return shlex.quote(text)
