"""The user's own prompts: YAML files in a folder, beside the library's prompts under one set of names.

A name of the library cannot be taken. A prompt that had its name before the library got the same one stays in use.
"""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from .prompt_files import YAML_SUFFIXES, as_yaml, is_file, load_file, read_bytes, read_prompt

if TYPE_CHECKING:
    from sagechain.prompts.library import LibraryPrompt

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


def folder() -> Path:
    """The folder of the user's prompts; `SAGECHAIN_PROMPTS` names another one."""
    from platformdirs import user_config_path

    given = os.environ.get("SAGECHAIN_PROMPTS")
    return Path(given).expanduser() if given else user_config_path("sagechain") / "prompts"


def own_prompts() -> dict[str, Path]:
    """The files of the user's prompts, by name, sorted."""
    try:
        files = sorted(folder().iterdir())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ValueError(f"prompts: the folder {str(folder())!r} cannot be read: {error.strerror}") from None
    return {file.stem: file for file in files if file.suffix in YAML_SUFFIXES and _NAME.fullmatch(file.stem)}


def load_own(name: str) -> "LibraryPrompt":
    """The user's prompt with this name. Raises ValueError if its file is not a prompt."""
    path = own_prompts()[name]
    data, _ = read_bytes(path)
    return read_prompt(name, data, is_yaml=True)


def find_prompt(name: str) -> "LibraryPrompt":
    """The prompt with this name, the user's own or the library's, or in this file.

    Raises:
        ValueError: neither is known, or the file is not a prompt.
    """
    from sagechain.prompts import list_prompts, load_prompt, unknown_name

    own = own_prompts()
    if name in own:
        return load_own(name)
    if name in list_prompts():
        return load_prompt(name)
    path = Path(name).expanduser()
    if is_file(path):
        return load_file(path)
    if os.sep in name or path.suffix.lower() in (*YAML_SUFFIXES, ".txt", ".md"):
        raise ValueError(f"prompt: the file {name!r} does not exist")
    raise unknown_name("prompt", name, [*list_prompts(), *own])


def add_prompt(name: str, data: bytes, *, is_yaml: bool, replace: bool) -> Path:
    """Store a prompt.

    Args:
        name: letters, digits, `_`, `.` and `-`.
        data, is_yaml: the prompt, as in `read_prompt`.
        replace: whether a prompt of the user's with this name may exist.

    Returns:
        the new file.

    Raises:
        ValueError: a name that is not allowed or taken, or contents that are not a prompt.
    """
    from sagechain.prompts import list_prompts

    if not _NAME.fullmatch(name):
        raise ValueError(f"prompt: {name!r} is not a name; use up to 100 letters, digits, '_', '.' and '-'")
    own = own_prompts()
    if name in list_prompts() and name not in own:
        raise ValueError(f"prompt: {name!r} is a prompt of the library; choose another name")
    if name in own and not replace:
        raise ValueError(f"prompt: {name!r} exists in {own[name]}; --replace replaces it")
    prompt = read_prompt(name, data, is_yaml=is_yaml)
    path = own.get(name, folder() / f"{name}.yaml")
    partial = path.with_name(f".{name}.{os.getpid()}.partial")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        # The text of a YAML file is stored as it is, with its comments.
        partial.write_bytes(data if is_yaml else as_yaml(prompt).encode())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def remove_prompt(name: str) -> Path:
    """Delete a prompt of the user's. Raises ValueError if there is none with this name."""
    from sagechain.prompts import list_prompts, unknown_name

    own = own_prompts()
    if name not in own:
        if name in list_prompts():
            raise ValueError(f"prompt: {name!r} is a prompt of the library, which cannot be removed")
        raise unknown_name("prompt", name, own) if own else ValueError("prompt: you have no prompts of your own yet")
    own[name].unlink()
    return own[name]
