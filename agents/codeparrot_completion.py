"""Code completion by a CodeParrot, and by any other model that continues text.

    python -m sagechain.agents.codeparrot_completion                               # the starts of four programs
    python -m sagechain.agents.codeparrot_completion "def mean(numbers):" -n 4     # your own: the best of four
    python -m sagechain.agents.codeparrot_completion -m local:RUN/model            # by a model that you pretrained

    chain(load_llm("local:smollm2")).invoke("def mean(numbers):")

A completion ends with its block, or at the token limit. The four programs are in `codeparrot_completion.yaml`.
"""

from typing import TYPE_CHECKING, Annotated, Any

import typer
from sagechain.command import (
    DEFAULT_MODEL,
    CandidatesOption,
    EulaOption,
    ModelOption,
    ParameterOption,
    UntilOption,
    model_parameters,
    print_note,
    print_text,
    run,
    warn_if_truncated,
)
from sagechain.prompts import read_yaml

if TYPE_CHECKING:
    from langchain_core.language_models import BaseLanguageModel
    from langchain_core.runnables import Runnable


def chain(model: "BaseLanguageModel[Any]", *, until: str = "block", candidates: int = 1) -> "Runnable[Any, str]":
    """A Runnable from the start of some code to its completion.

    Args:
        model: an LLM.
        until: where a completion ends: `block`, `line` or `end`.
        candidates: completions that are sampled; the best one is returned.

    Raises:
        ValueError: a model that does not continue text, an unknown `until`; at the call, an empty prompt.
    """
    from sagechain.chains import code_completion

    return code_completion(model, until=until, candidates=candidates)


def show_completion(model: "BaseLanguageModel[Any]", prompt: str, *, until: str, candidates: int) -> str:
    """Print a completion on standard output, and return it: one as it is generated, or the best of several.

    Raises:
        ValueError: as `chain`.
        LLMError: the generation failed.
    """
    from sagechain.chains import ranked_completions

    from .finish_reason import FinishReason

    if candidates > 1:
        completions = ranked_completions(model, until=until, candidates=candidates).invoke(prompt)
        print_text(completions[0].text)
        warn_if_truncated(completions[0].finish_reason)
        parsing = sum(completion.parses for completion in completions)
        print_note(f"({parsing} of {len(completions)} candidates parse as Python.)")
        return completions[0].text
    finish_reason, text = FinishReason(), ""
    for chunk in chain(model, until=until).stream(prompt, {"callbacks": [finish_reason]}):
        text += chunk
        print_text(chunk, end="")
    print(flush=True)
    warn_if_truncated(finish_reason.value)
    return text


def script(
    prompts: Annotated[
        list[str] | None,
        typer.Argument(metavar="PROMPT...", help="The start of some code. Four short programs if not given."),
    ] = None,
    candidates: CandidatesOption = 1,
    until: UntilOption = "block",
    model: ModelOption = DEFAULT_MODEL,
    accept_eula: EulaOption = False,
    parameters: ParameterOption = None,
) -> None:
    """Complete code: the prompts go to standard error, the completions to standard output.

    Example: python -m sagechain.agents.codeparrot_completion "def mean(numbers):" -m local:codeparrot
    """
    from sagechain.llms import load_llm

    llm = load_llm(model, **model_parameters(parameters, accept_eula))
    if model == DEFAULT_MODEL:
        print_note("(The embedded model was trained to chat; -m local:FOLDER uses a model trained on code.)")
    if prompts:
        programs = [{"title": "", "text": prompt} for prompt in prompts]
    else:
        programs = read_yaml(__package__, "codeparrot_completion.yaml")["prompts"]
    for program in programs:
        if program["title"]:
            print_note(f"— {program['title']}")
        print_note(program["text"].removesuffix("\n"))
        show_completion(llm, program["text"], until=until, candidates=candidates)


if __name__ == "__main__":
    run(script)
