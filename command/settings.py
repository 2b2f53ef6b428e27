"""The user's settings (`sagechain config`): a YAML file that gives way to the environment, which gives way to options.

    write_setting("model", "local:smollm2")
    apply_settings()          # sets SAGECHAIN_MODEL for this process, unless it is set

Every setting stands for an environment variable (`settings.yaml`), so options, agents and libraries need to know only that.
"""

import os
import re
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sagechain.prompts import check_known, read_yaml

FILE_VARIABLE = "SAGECHAIN_CONFIG"
"""The environment variable that names another file."""

SECRET_NAME = re.compile(r"secret|password|passwd|token|credential|api_?key|access_?key", re.IGNORECASE)
SECRET_VALUE = re.compile(r"\A(?:sk-|hf_|gh[pousr]_|AKIA|ASIA)\w|://[^/@\s:]{0,200}:[^/@\s]{1,200}@")
"""Keys of OpenAI, Hugging Face, GitHub and AWS; a URL with a password."""


@dataclass(frozen=True)
class Setting:
    """One setting."""

    name: str
    variable: str
    description: str
    default: str


@cache
def known_settings() -> dict[str, Setting]:
    """All settings, by name."""
    return {name: Setting(name, **entry) for name, entry in read_yaml(__package__, "settings.yaml").items()}


def config_path() -> Path:
    """The file, whether it exists or not. Raises RuntimeError without a home."""
    from platformdirs import user_config_path

    named = os.environ.get(FILE_VARIABLE)
    return Path(named).expanduser() if named else user_config_path("sagechain") / "config.yaml"


def read_settings() -> dict[str, str]:
    """The settings in the file; empty if there is none.

    Raises:
        ValueError: the file is not a mapping of known names to texts.
    """
    path = config_path()
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: it is not UTF-8 text ({error.reason})") from error
    import yaml

    try:
        content = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: it is not YAML; `sagechain config path` names the file to correct") from error
    if not isinstance(content, dict) or not all(isinstance(value, str) for value in content.values()):
        raise ValueError(f"{path}: it is not a list of NAME: TEXT; correct or delete it")
    check_known(f"{path}: setting", map(str, content), known_settings())
    return content


def write_setting(name: str, value: str) -> None:
    """Store a setting.

    Raises:
        ValueError: an unknown name, an empty value, or a secret.
        OSError: the file cannot be written.
    """
    if SECRET_NAME.search(name) or SECRET_VALUE.search(value):
        raise ValueError(
            f"{name}: secrets are not stored in the configuration; use the environment, `aws configure`, or ~/.pgpass"
        )
    check_setting(name)
    if not value.strip() or not value.isprintable():
        raise ValueError(
            f"{name}: the value must be one line of text; `sagechain config unset {name}` removes a setting"
        )
    _write({**read_settings(), name: value})


def remove_setting(name: str) -> bool:
    """Remove a setting; False if it was not set. Raises as `write_setting`."""
    check_setting(name)
    stored = read_settings()
    if name not in stored:
        return False
    _write({other: value for other, value in stored.items() if other != name})
    return True


def check_setting(name: str) -> None:
    """Raise ValueError, with the nearest name, if there is no such setting."""
    check_known("setting", [name], known_settings())


def apply_settings() -> None:
    """Set the environment variables of the stored settings that the environment does not set itself.

    Raises:
        ValueError: as `read_settings`.
    """
    try:
        stored = read_settings()
    except (OSError, RuntimeError):  # no home, or a folder that may not be read: then there are no settings
        return
    for name, value in stored.items():
        os.environ.setdefault(known_settings()[name].variable, value)


def _write(content: dict[str, str]) -> None:
    """Replace the file at once; only its owner may read it."""
    import yaml

    path = config_path()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, encoding="utf-8", delete=False) as file:  # mode 0600
        yaml.safe_dump(content, file, allow_unicode=True)
    Path(file.name).replace(path)
