"""The option of commands that the log records (`sagechain logs`)."""

from typing import Annotated

import typer

NoLogOption = Annotated[
    bool, typer.Option("--no-log", help="Do not record this question, even if `sagechain logs` is on.")
]
