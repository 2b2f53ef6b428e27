"""`sagechain agents`: the assistants of the tutorial. Each module of `sagechain.agents` with a function `script` is one."""

import ast
from functools import cache
from importlib import import_module, resources
from typing import Any

import typer
from sagechain.prompts import check_known
from typer.core import TyperGroup

app = typer.Typer(help="The agents: list them, run one.", no_args_is_help=True, rich_markup_mode=None)


class _Agents(TyperGroup):
    """A command for each agent; its module is imported when it is needed."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(agents())

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if not ctx.resilient_parsing and not args[0].startswith("-"):
            check_known("agent", [args[0].replace("_", "-")], agents())
        return super().resolve_command(ctx, args)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        name = cmd_name.replace("_", "-")
        if name not in agents():
            return None
        single = typer.Typer(add_completion=False, rich_markup_mode=None)
        script = import_module(f"sagechain.agents.{name.replace('-', '_')}").script
        single.command(name, help=agents()[name])(script)
        return typer.main.get_command(single)


@cache
def agents() -> dict[str, str]:
    """The agents' names, and one line about each: the first of the module's docstring."""
    found = {}
    for file in sorted(resources.files("sagechain.agents").iterdir(), key=lambda each: each.name):
        if not file.name.endswith(".py"):
            continue
        module = ast.parse(file.read_text(encoding="utf-8"))
        if any(isinstance(node, ast.FunctionDef) and node.name == "script" for node in module.body):
            description = (ast.get_docstring(module) or "").partition("\n")[0]
            found[file.name.removesuffix(".py").replace("_", "-")] = description
    return found


@app.command("list")
def list_all() -> None:
    """List the agents: name and description.

    Example: sagechain agents list
    """
    width = max(map(len, agents()))
    for name, description in agents().items():
        print(f"{name:{width}}  {description}")


runs = typer.Typer(
    cls=_Agents,
    help="Run an agent with its options, as `python -m sagechain.agents.NAME` does: sagechain agents run llama2-chatbot",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(runs, name="run")


@runs.callback()
def _run() -> None:
    """Run an agent with its options, as `python -m sagechain.agents.NAME` does.

    Example: sagechain agents run llama2-chatbot "My name is Ada." "What is my name?"
    """
