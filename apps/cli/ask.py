"""`sagechain ask`: one question, or one prompt, and one answer, printed as it is generated."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer
from sagechain.command import (
    DEFAULT_MODEL,
    EulaOption,
    ModelOption,
    ParameterOption,
    VariableOption,
    model_parameters,
    print_note,
    print_text,
    variables_by_name,
    warn_if_truncated,
)

from .exclusive_options import check_exclusive
from .standard_input import piped_text

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage
    from langchain_core.tools import BaseTool
    from sagechain.prompts.library import LibraryPrompt

    from ..logs.store import Entry
    from ..questions.answer import Answer


def ask(
    context: typer.Context,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[QUESTION...]",
            help="The question, with or without quotes; standard input is appended. With -t it fills the variable that is "
            "still missing. After -- a word may begin with -.",
        ),
    ] = None,
    template: Annotated[
        str | None,
        typer.Option(
            "-t", "--template", metavar="NAME|FILE", help="A prompt by name (`sagechain prompts list`), or in a file."
        ),
    ] = None,
    variables: VariableOption = None,
    files: Annotated[
        list[str] | None,
        typer.Option(
            "-f",
            "--fragment",
            metavar="FILE",
            help="A text file before the question; *.py is a pattern, - standard input.",
        ),
    ] = None,
    model: ModelOption = DEFAULT_MODEL,
    system: Annotated[str | None, typer.Option("-s", "--system", metavar="TEXT", help="The system text.")] = None,
    resume: Annotated[
        bool, typer.Option("-c", "--continue", help="Continue the last conversation in the log (`sagechain logs on`).")
    ] = False,
    schema: Annotated[
        str | None,
        typer.Option(
            "--schema", metavar="SCHEMA", help='The answer as JSON: a JSON schema, a file with it, or "name, age int".'
        ),
    ] = None,
    schema_multi: Annotated[
        str | None, typer.Option("--schema-multi", metavar="SCHEMA", help='As --schema, for {"items": [several]}.')
    ] = None,
    tools: Annotated[
        list[str] | None,
        typer.Option(
            "-T", "--tool", metavar="MODULE:FUNCTION", help="A function that the model may call; FILE.py:FUNCTION too."
        ),
    ] = None,
    approve: Annotated[bool, typer.Option("--ta", "--tools-approve", help="Ask before each call of a tool.")] = False,
    extract: Annotated[
        bool, typer.Option("-x", "--extract", help="Print the first fenced code block of the answer alone.")
    ] = False,
    extract_last: Annotated[bool, typer.Option("--xl", "--extract-last", help="The last fenced code block.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print answer, model, finish reason, token usage and seconds as JSON.")
    ] = False,
    usage: Annotated[bool, typer.Option("-u", "--usage", help="Print tokens and seconds on standard error.")] = False,
    no_stream: Annotated[bool, typer.Option("--no-stream", help="Print the answer when it is complete.")] = False,
    no_log: Annotated[
        bool, typer.Option("-n", "--no-log", help="Do not record this, even if `sagechain logs` is on.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No notes on standard error; errors stay.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Print what is sent to the model on standard error.")
    ] = False,
    accept_eula: EulaOption = False,
    parameters: ParameterOption = None,
) -> None:
    """Ask a model one question.

    Example: sagechain ask What is the capital of France?

    About files: sagechain ask -f README.md "Which licence has this?"

    With a prompt of the library: sagechain ask -t translation -v language=French "Good morning."

    An answer as JSON: sagechain ask --schema "name, age int" "Ada is 36."
    """
    check_exclusive(
        {"--schema": schema, "--schema-multi": schema_multi, "--tool": tools, "--extract": extract or extract_last}
    )
    for option, value in {"--verbose": verbose, "--usage": usage, "--tools-approve": approve}.items():
        check_exclusive({"--quiet": quiet, option: value})
    with _hidden_notes() if quiet else nullcontext():
        options = model_parameters(parameters, accept_eula)
        prompt = _load(template, variables)
        answer_schema = _read_schema(schema, schema_multi)
        text = _text(" ".join(words or ()), files or [], prompt, variables_by_name(variables))
        callable_tools = _load_tools(tools or [])
        history = _last_conversation() if resume else []
        if history:
            model = model if _is_on_command_line(context, "model") else history[-1].model
            system = history[-1].system if system is None else system
            print_note(f"(Continues a conversation with {model}; turns so far: {len(history)}.)")
        elif prompt is not None and system is None:
            system = prompt.metadata.get("system")
        from sagechain.command import with_defaults
        from sagechain.llms import load_chat_model

        from ..logs.recording import loggable, recorded
        from ..logs.store import Entry
        from ..questions.answer import Answer

        chat = with_defaults(load_chat_model(model, **options), {} if prompt is None else prompt.metadata["parameters"])
        answer = Answer(model, chat, schema=answer_schema, tools=callable_tools, approve=approve, verbose=verbose)
        entry = Entry("ask", model, text, system, loggable(options), history[0].conversation if history else None)
        is_streamed = not (answer_schema or callable_tools or as_json or extract or extract_last or no_stream)
        with recorded(entry, enabled=not no_log):
            try:
                answer.run(_messages(system, history, text), partial(print_text, end="") if is_streamed else None)
                _print(answer, is_streamed=is_streamed, extract=extract, extract_last=extract_last, as_json=as_json)
            finally:
                answer.fill(entry)
        warn_if_truncated(answer.finish_reason)
        if usage:
            print_note(answer.cost)


def _load(template: str | None, variables: list[tuple[str, str]] | None) -> "LibraryPrompt | None":
    if template is None:
        if variables:
            raise typer.BadParameter("-v sets a variable of a prompt; name the prompt with -t.")
        return None
    from ..questions.own_prompts import find_prompt

    return find_prompt(template)


def _read_schema(schema: str | None, schema_multi: str | None) -> dict[str, Any] | None:
    if schema is None and schema_multi is None:
        return None
    from ..questions.answer_schema import read_schema

    return read_schema(schema_multi or "", several=True) if schema is None else read_schema(schema)


def _load_tools(places: list[str]) -> "list[BaseTool]":
    if not places:
        return []
    from ..questions.tools import load_tools

    return load_tools(places)


def _text(question: str, files: list[str], prompt: "LibraryPrompt | None", values: dict[str, str]) -> str:
    """The user's message: files, question and standard input, in the place of the prompt's variable that has no value.

    If the prompt has all its values, they are appended to it.

    Raises:
        ValueError: a file that cannot be read, a variable that the prompt does not have, or variables without a value.
        typer.BadParameter: there is no text at all.
    """
    from ..questions.fragments import STANDARD_INPUT, read_fragments, with_fragments

    if prompt is not None:
        from sagechain.prompts import check_known

        check_known(f"variable of prompt {prompt.name!r}", values, prompt.input_variables or ["none"])
    missing = [] if prompt is None else [name for name in prompt.input_variables if name not in values]
    if prompt is not None and len(missing) > 1:
        return prompt.format(**values)  # raises, and names them
    fragments = read_fragments(files)
    is_needed = not question.strip() and not fragments and (prompt is None or bool(missing))
    piped = "" if STANDARD_INPUT in files else piped_text(is_needed=is_needed)
    given = with_fragments("\n\n".join(part for part in (question.strip(), piped.strip()) if part), fragments)
    if prompt is None:
        if not given:
            raise typer.BadParameter("give a question, or text on standard input.")
        return given
    if missing:
        return prompt.format(**values, **({missing[0]: given} if given else {}))
    return "\n\n".join([prompt.format(**values), *([given] if given else [])])


def _last_conversation() -> "list[Entry]":
    """The turns of the last conversation with `ask`. Raises ValueError if the log has none."""
    from ..logs.recording import is_on, log_file, read_log

    advice = "`sagechain logs on` stores conversations from now on; `sagechain chat` stores its own"
    if not is_on() or not log_file().exists():
        raise ValueError(f"--continue: no conversation is stored; {advice}")
    with read_log() as log:
        turns = log.last_conversation("ask")
    if not turns:
        raise ValueError(f"--continue: the log has no conversation yet; {advice}")
    return turns


def _messages(system: str | None, history: "list[Entry]", text: str) -> "list[BaseMessage]":
    from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

    messages: list[BaseMessage] = [] if system is None else [SystemMessage(system)]
    for turn in history:
        messages += [HumanMessage(turn.prompt), AIMessage(turn.answer)]
    return [*messages, HumanMessage(text)]


def _print(answer: "Answer", *, is_streamed: bool, extract: bool, extract_last: bool, as_json: bool) -> None:
    if is_streamed:
        print()
        return
    if extract or extract_last:
        from ..questions.code_blocks import extract_code

        answer.text = extract_code(answer.text, last=extract_last)
    print_text(json.dumps(answer.report(), ensure_ascii=False) if as_json else answer.text)


def _is_on_command_line(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


@contextmanager
def _hidden_notes() -> Iterator[None]:
    """Nothing is printed on standard error. An error that ends the command is printed after this block."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stderr(nowhere):
        yield
