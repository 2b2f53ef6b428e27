"""`sagechain prompts`: the prompt library, looked at. `sagechain ask -t NAME` uses it (`ask.py`)."""

import json
import shlex
from typing import Annotated

import typer

app = typer.Typer(help="The prompt library.", no_args_is_help=True, rich_markup_mode=None)


@app.command("list")
def show_all() -> None:
    """List the prompts: name, variables, description.

    Example: sagechain prompts list
    """
    from sagechain.prompts import list_prompts, load_prompt

    rows = [(name, load_prompt(name)) for name in list_prompts()]
    names = max(len(name) for name, _ in rows)
    variables = max(len(", ".join(prompt.input_variables)) for _, prompt in rows)
    for name, prompt in rows:
        print(f"{name:{names}}  {', '.join(prompt.input_variables):{variables}}  {prompt.metadata['description']}")


@app.command("show")
def show(name: Annotated[str, typer.Argument(help="The prompt, as `sagechain prompts list` names it.")]) -> None:
    """Show a prompt: what it is for, its variables with examples, the parameters that suit it, its text.

    It ends with a command that asks the prompt with the examples.

    Example: sagechain prompts show summary
    """
    from sagechain.prompts import load_prompt

    prompt = load_prompt(name)
    about = prompt.metadata
    print(f"{name}: {about['description']}")
    for variable, its in about["variables"].items():
        print(f"  {variable}: {its['description']} For example: {json.dumps(its['example'], ensure_ascii=False)}")
    suited = " ".join(f"{parameter}={json.dumps(value)}" for parameter, value in about["parameters"].items())
    print(f"Suited parameters: {suited}")
    print(f"Source: {about['source']}")
    print(f"\n{prompt.template}\n")
    examples = [f"{variable}={its['example']}" for variable, its in about["variables"].items()]
    print(" ".join(["sagechain ask -t", name, *(f"-v {shlex.quote(example)}" for example in examples)]))
