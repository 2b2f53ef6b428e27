"""Prompts as files: the user's own in a folder, and any file that `-t FILE` names.

A YAML file has the fields of a prompt of the library, of which only `text` is required, and `system` beside them. Any other
file is the text itself. `{name}` in a text is a variable; braces of a variable's value stay text.
"""

import re
from pathlib import Path
from string import Formatter
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

if TYPE_CHECKING:
    from sagechain.prompts.library import LibraryPrompt

MAX_BYTES = 200_000  # of a prompt's file
YAML_SUFFIXES = (".yaml", ".yml")
_VARIABLE = re.compile(r"(?<!\{)\{([A-Za-z_]\w*+)\}(?!\})")


class Variable(BaseModel):
    """What a variable of a prompt is for."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    description: str = ""
    example: str = ""


class PromptFile(BaseModel):
    """The fields of a prompt's YAML file."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    kind: Literal["prompt"] = "prompt"
    description: str = ""
    source: str = ""
    system: str | None = None
    variables: dict[str, Variable] = Field(default_factory=dict)
    parameters: dict[str, Any] = Field(default_factory=dict)
    text: str


def read_prompt(name: str, data: bytes, *, is_yaml: bool) -> "LibraryPrompt":
    """The prompt in a file's bytes; `metadata` has its fields, as in `sagechain.prompts.load_prompt`.

    Args:
        name: what errors call it.
        data: the contents of the file.
        is_yaml: whether they are YAML; else they are the prompt's text.

    Raises:
        ValueError: the contents are too long, not UTF-8, not a prompt, or have an unknown variable or parameter.
    """
    if len(data) > MAX_BYTES:
        raise ValueError(f"prompt {name!r}: longer than {MAX_BYTES:,} bytes; a long text belongs into a variable or -f")
    try:
        content = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"prompt {name!r}: not UTF-8 text: byte {error.start + 1}: {error.reason}") from None
    file = _parsed(name, content) if is_yaml else PromptFile(text=_literal_braces(content))
    if not file.text.strip():
        raise ValueError(f"prompt {name!r}: its text is empty")
    return _template(name, file)


def load_file(path: Path) -> "LibraryPrompt":
    """The prompt in a file: YAML if its suffix says so, else text. Raises ValueError as `read_prompt`."""
    data, is_yaml = read_bytes(path)
    return read_prompt(path.name, data, is_yaml=is_yaml)


def read_bytes(path: Path) -> tuple[bytes, bool]:
    """The contents of a prompt's file, of a longer one than allowed the start, and whether its suffix is YAML's.

    Raises:
        ValueError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1), path.suffix.lower() in YAML_SUFFIXES
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(f"prompt: the file {str(path)!r} cannot be read: {reason}") from None


def is_file(path: Path) -> bool:
    """Whether there is such a file; a text that cannot be a path names none."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long for a path, or with a NUL
        return False


def looks_like_yaml(data: bytes) -> bool:
    """Whether the text of a pipe, which has no suffix, is a prompt in YAML: a mapping with a `text`."""
    return re.search(rb"^text:", data, re.MULTILINE) is not None


def as_yaml(prompt: "LibraryPrompt") -> str:
    """The YAML file of a prompt."""
    import yaml

    class Dumper(yaml.SafeDumper):
        """Texts of several lines as blocks."""

    Dumper.add_representer(
        str,
        lambda dumper, text: dumper.represent_scalar(
            "tag:yaml.org,2002:str", text, style="|" if "\n" in text else None
        ),
    )
    fields = {name: value for name, value in prompt.metadata.items() if value}
    return yaml.dump(
        {"kind": "prompt", **fields, "text": prompt.template + "\n"}, Dumper=Dumper, sort_keys=False, allow_unicode=True
    )


def _parsed(name: str, content: str) -> PromptFile:
    import yaml

    try:
        fields = yaml.safe_load(content)
        if not isinstance(fields, dict):
            raise ValueError("the file is not a mapping with a `text`")
        return PromptFile.model_validate(fields)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" in line {mark.line + 1}" if mark else ""
        raise ValueError(
            f"prompt {name!r}: not YAML{place}: {getattr(error, 'problem', None) or 'malformed'}"
        ) from None
    except RecursionError:
        raise ValueError(f"prompt {name!r}: nested too deeply") from None
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise ValueError(f"prompt {name!r}: {problems}") from None
    except ValueError as error:
        raise ValueError(f"prompt {name!r}: {error}") from None


def _template(name: str, file: PromptFile) -> "LibraryPrompt":
    from sagechain.llms import GenerationParameters
    from sagechain.prompts import check_known
    from sagechain.prompts.library import LibraryPrompt

    text = file.text.strip("\n")
    found = list(dict.fromkeys(_variables(name, text)))
    check_known(f"prompt {name!r}: variable", file.variables, found or ["none"])
    try:
        GenerationParameters(**file.parameters)
    except ValueError as error:
        raise ValueError(f"prompt {name!r}: parameters: {error}") from None
    described = {each: file.variables.get(each, Variable()).model_dump() for each in found}
    metadata = {**file.model_dump(exclude={"kind", "text"}), "variables": described}
    return LibraryPrompt(name=name, template=text, input_variables=found, metadata=metadata)


def _variables(name: str, text: str) -> list[str]:
    """The names between braces, in order. Raises ValueError where there is another thing between them."""
    try:
        fields = [part[1:] for part in Formatter().parse(text) if part[1] is not None]
    except ValueError as error:
        raise ValueError(f"prompt {name!r}: {error}; write {{{{ and }}}} for braces that are text") from None
    for field, form, conversion in fields:
        if form or conversion or not re.fullmatch(r"[A-Za-z_]\w*+", field or ""):
            shown = f"{{{field}{'!' + conversion if conversion else ''}{':' + form if form else ''}}}"
            raise ValueError(
                f"prompt {name!r}: {shown} is not a variable's name; write {{{{ and }}}} for braces that are text"
            )
    return [str(field) for field, _, _ in fields]


def _literal_braces(text: str) -> str:
    """The template of a text in which only `{name}` is a variable; `{{name}}` is `{name}` as text, as in YAML files."""
    parts, position = [], 0
    for match in _VARIABLE.finditer(text):
        parts += [_doubled(text[position : match.start()]), match[0]]
        position = match.end()
    return "".join([*parts, _doubled(text[position:])])


def _doubled(text: str) -> str:
    """A text with its braces doubled, except those that are doubled already around a name."""
    pieces = re.split(r"(\{\{[A-Za-z_]\w*+\}\})", text)
    return "".join(piece if i % 2 else piece.replace("{", "{{").replace("}", "}}") for i, piece in enumerate(pieces))
