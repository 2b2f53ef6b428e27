"""`sagechain prompts`: the prompts of the library and the user's own. `sagechain ask -t NAME` sends one (`ask.py`)."""

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from sagechain.command import print_note, print_text

app = typer.Typer(
    help="Prompts: the library's, and your own (add, remove).", no_args_is_help=True, rich_markup_mode=None
)

NameArgument = Annotated[str, typer.Argument(help="The prompt's name in `sagechain prompts list`.")]


@app.command("list")
def list_all() -> None:
    """List the prompts: name, variables, description. Your own have a star.

    Example: sagechain prompts list
    """
    from sagechain.prompts import list_prompts, load_prompt, visible_line

    from ..questions.own_prompts import load_own, own_prompts

    prompts = {name: load_prompt(name) for name in list_prompts()}
    own, faults = own_prompts(), []
    for name in own:
        try:
            prompts[name] = load_own(name)
        except ValueError as error:  # one that is damaged does not hide the others
            prompts.pop(name, None)
            faults.append(error)
    rows = [
        (f"{name}{'*' * (name in own)}", ", ".join(prompt.input_variables), prompt.metadata["description"])
        for name, prompt in sorted(prompts.items())
    ]
    name_width, variable_width = (max(len(row[column]) for row in rows) for column in (0, 1))
    for name, variables, description in rows:
        print_text(visible_line(f"{name:{name_width}}  {variables:{variable_width}}  {description}").rstrip())
    for fault in faults:
        print_note(f"({fault})")


@app.command("show")
def show(name: NameArgument) -> None:
    """Show a prompt: its purpose, variables with examples, default parameters, text, and a command that sends it.

    Example: sagechain prompts show summary
    """
    from ..questions.own_prompts import find_prompt

    prompt = find_prompt(name)
    fields = prompt.metadata
    variables, parameters = fields["variables"], fields["parameters"]
    print_text(f"{name}: {fields['description']}" if fields["description"] else name)
    for variable, entry in variables.items():
        example = f"For example: {json.dumps(entry['example'], ensure_ascii=False)}" if entry["example"] else ""
        print_text(f"  {variable}: {entry['description']} {example}".rstrip(": "))
    if parameters:
        shown = (f"{parameter}={json.dumps(value, ensure_ascii=False)}" for parameter, value in parameters.items())
        print_text(" ".join(["Default parameters:", *shown]))
    if fields["source"]:
        print_text(f"Source: {fields['source']}")
    if fields.get("system"):
        print_text(f"\nSystem text:\n{fields['system']}")
    print_text(f"\n{prompt.template}\n")
    examples = [f"{variable}={entry['example'] or '…'}" for variable, entry in variables.items()]
    command = ["sagechain ask -t", shlex.quote(name), *(f"-v {shlex.quote(example)}" for example in examples)]
    print_text(" ".join(command))


@app.command("add")
def add(
    name: Annotated[str, typer.Argument(help="Its name: letters, digits, '_', '.' and '-'.")],
    file: Annotated[
        str | None,
        typer.Argument(metavar="[FILE]", help="A YAML file as in the library, or a text; standard input if not given."),
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace your prompt with this name.")] = False,
) -> None:
    """Store a prompt of your own. In its text, {name} is a variable.

    Example: echo "Explain {topic} to a child." | sagechain prompts add explain
    """
    from ..questions.own_prompts import add_prompt
    from ..questions.prompt_files import MAX_BYTES, looks_like_yaml, read_bytes

    if file is None or file == "-":
        if sys.stdin is None or sys.stdin.isatty():
            raise typer.BadParameter("give a file, or the prompt's text on standard input")
        data = sys.stdin.buffer.read(MAX_BYTES + 1)
        is_yaml = looks_like_yaml(data)
    else:
        data, is_yaml = read_bytes(Path(file).expanduser())
    path = add_prompt(name, data, is_yaml=is_yaml, replace=replace)
    print_note(f"Stored in {path}. Send it with: sagechain ask -t {name}")


@app.command("remove")
def remove(name: NameArgument) -> None:
    """Delete a prompt of your own.

    Example: sagechain prompts remove explain
    """
    from ..questions.own_prompts import remove_prompt

    print_note(f"{remove_prompt(name)} is deleted.")


@app.command("path")
def path() -> None:
    """Print the folder of your own prompts.

    Example: sagechain prompts path
    """
    from ..questions.own_prompts import folder

    print(folder())
