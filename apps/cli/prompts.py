"""`sagechain prompts`: the prompts of the library. `sagechain ask -t NAME` sends one (`ask.py`)."""

import json
import shlex
from typing import Annotated

import typer

app = typer.Typer(help="The prompt library.", no_args_is_help=True, rich_markup_mode=None)


@app.command("list")
def list_all() -> None:
    """List the prompts: name, variables, description.

    Example: sagechain prompts list
    """
    from sagechain.prompts import list_prompts, load_prompt

    prompts = [load_prompt(name) for name in list_prompts()]
    variables = [", ".join(prompt.input_variables) for prompt in prompts]
    name_width, variable_width = max(len(str(prompt.name)) for prompt in prompts), max(map(len, variables))
    for prompt, names in zip(prompts, variables, strict=True):
        print(f"{prompt.name:{name_width}}  {names:{variable_width}}  {prompt.metadata['description']}")


@app.command("show")
def show(name: Annotated[str, typer.Argument(help="The prompt's name in `sagechain prompts list`.")]) -> None:
    """Show a prompt: its purpose, variables with examples, default parameters, text, and a command that sends it.

    Example: sagechain prompts show summary
    """
    from sagechain.prompts import load_prompt

    prompt = load_prompt(name)
    variables, parameters = prompt.metadata["variables"], prompt.metadata["parameters"]
    print(f"{name}: {prompt.metadata['description']}")
    for variable, entry in variables.items():
        print(f"  {variable}: {entry['description']} For example: {json.dumps(entry['example'], ensure_ascii=False)}")
    print("Default parameters:", *(f"{parameter}={json.dumps(value)}" for parameter, value in parameters.items()))
    print(f"Source: {prompt.metadata['source']}")
    print(f"\n{prompt.template}\n")
    examples = [f"{variable}={entry['example']}" for variable, entry in variables.items()]
    print(" ".join(["sagechain ask -t", name, *(f"-v {shlex.quote(example)}" for example in examples)]))
