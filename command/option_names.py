"""Errors in the words of the command line: Python's arguments become options.

The public functions name their arguments: `ttl: '5x' is not a duration`, and advice puts arguments into backquotes:
"pass `accept_eula=True`". A command has the same parameters under the same names, so one place can translate them all:

    in_options("ttl: '5x' is not a duration", command)      # --ttl: '5x' is not a duration
    in_options("pass `accept_eula=True`", command)          # pass `--accept-eula`
    in_options("temperature: it is negative", command)      # -p temperature: it is negative
"""

import re
from collections.abc import Mapping
from typing import Any

OTHER_NAMES = {
    "model_id": "model",
    "model_data": "model",
    "path": "model",
    "uri": "model",
    "store": "location",
    "failure": "fail",
    "parameter": "parameters",
    "setting": "settings",
}
"""Arguments of public functions whose parameter in a command has another name."""
MODEL_ARGUMENTS = ("max_tokens", "timeout", "max_retries", "max_concurrency", "tokenizer", "accept_eula")
"""What `-p` takes beside the fields of `GenerationParameters`."""

_FIELD = re.compile(r"\A(\w+)(?=: )", re.ASCII)
_ARGUMENT = re.compile(r"`(\w+)(?:=([^`\n]{0,200}))?`", re.ASCII)


def in_options(message: str, command: Any) -> str:
    """The message with the options of `command`, a typer command, in place of the arguments' names; others stay."""
    parameters = {str(parameter.name): parameter for parameter in command.params}
    message = _FIELD.sub(lambda match: _field(match[1], parameters) or match[0], message)
    return _ARGUMENT.sub(lambda match: _argument(match[1], match[2], parameters) or match[0], message)


def option_name(parameter: Any) -> str:
    """`--model`, or `NAME` for an argument."""
    name: str = max(parameter.opts, key=len)
    return name if name.startswith("-") else str(parameter.name).upper()


def _field(name: str, parameters: Mapping[str, Any]) -> str | None:
    parameter = parameters.get(name) or parameters.get(OTHER_NAMES.get(name, ""))
    if parameter is not None:
        return option_name(parameter)
    return f"-p {name}" if _is_setting(name, parameters) else None


def _argument(name: str, value: str | None, parameters: Mapping[str, Any]) -> str | None:
    parameter = parameters.get(name) or parameters.get(OTHER_NAMES.get(name, ""))
    if parameter is not None:
        has_value = value is not None and not getattr(parameter, "is_flag", False)
        return f"`{option_name(parameter)}{f' {value}' if has_value else ''}`"
    if not _is_setting(name, parameters):
        return None
    return f"`-p {name}={ {None: '…', 'True': 'true', 'False': 'false'}.get(value, value) }`"


def _is_setting(name: str, parameters: Mapping[str, Any]) -> bool:
    """Whether the command's `-p` takes it: a parameter of models, or any setting of pretraining."""
    if "parameters" in parameters:
        from sagechain.llms import PARAMETER_NAMES

        return name in PARAMETER_NAMES or name in MODEL_ARGUMENTS
    return "settings" in parameters
