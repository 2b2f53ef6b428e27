"""`sagechain demo`: the main job, shown in about a minute."""

from typing import Annotated

import typer


def demo(
    seconds: Annotated[float, typer.Option("--seconds", min=1, help="Seconds of training of the CodeParrot.")] = 20,
) -> None:
    """Show conversations, chain of thought and uses over Llama 2 and Falcon wires, then train a small code model.

    Example: sagechain demo
    """
    from ..demo.chains import run

    run(seconds=seconds)
