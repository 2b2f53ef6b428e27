r"""Continue code: `code_completion` returns the text that comes next, `ranked_completions` several candidates, best first.

    complete = code_completion(load_llm("local:codeparrot"))
    complete.invoke("def mean(numbers):\n")                       # "    return sum(numbers) / len(numbers)"
    complete = code_completion(load_llm("local:codeparrot"), candidates=8, temperature=0.6)

The prompt is sent as it is. Blanks at its end do harm: most tokenizers put the blank before a word into the word's own
token, so after "return " the model has no good continuation; end with "return".
"""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Literal, Unpack

from langchain_core.language_models import BaseLanguageModel
from langchain_core.language_models.llms import BaseLLM
from langchain_core.runnables import Runnable, RunnableGenerator, RunnableLambda, RunnableSequence
from sagechain.llms import (
    PARAMETER_NAMES,
    GenerationParameters,
    ParameterKeywords,
    PromptedChatModel,
    StopCutter,
    TextModel,
    configure_llm,
    with_one_name,
)
from sagechain.prompts import check_known, unknown_name

from .candidates import Completion, CompletionModel, RankedCompletions, by_parse_and_likelihood, returns_several

Until = Literal["block", "line", "end"]
UNTIL: dict[str, tuple[str, ...]] = {
    # The start of the next block at the left margin. Source: the Hugging Face course, "Training a causal language model".
    "block": ("\ndef", "\nclass", "\n#", "\nif", "\nprint"),
    "line": ("\n",),
    "end": (),
}
MAX_NEW_TOKENS = 256  # for sagechain's models without a limit: a small model may never end
# The default for several candidates. Source: arXiv 2107.03374, which ranks samples by their mean
# log probability at temperature 0.8, all with top-p 0.95.
SAMPLING = {"temperature": 0.8, "top_p": 0.95}
SAMPLING_PARAMETERS = ("do_sample", "temperature", "top_k", "top_p")


def code_completion(
    model: BaseLanguageModel[Any],
    *,
    until: Until | Sequence[str] = "block",
    candidates: int = 1,
    rank: Callable[[Completion], Any] = by_parse_and_likelihood,
    **parameters: Unpack[ParameterKeywords],
) -> Runnable[Any, str]:
    """A Runnable from a prompt (text, or the value of a prompt template) to its completion, without the prompt.

    One candidate is streamed; of several the best is returned after all have arrived. A batch uses the model's own
    batching; all its prompts are checked before the first is sent.

    Args:
        model: an LLM, or a `PromptedChatModel`, whose LLM is used. Over a wire that accepts roles the prompt is a user's
            message and the completion an answer to it.
        until: where the completion ends: `block` (the next function, class, comment, `if` or `print` at the left margin),
            `line`, `end` (the model's own end), or your own stop strings. The model's stop strings apply as well.
        candidates: completions generated for a prompt: sampled at the temperature, or with as many beams.
        rank: the value of a candidate, the highest first; of equal ones the first generated.
        parameters: inference parameters as for `load_llm`; for an LLM of another library, arguments of its `generate`.

    Raises:
        ValueError: a model that does not continue text, an unknown `until`, fewer than one candidate, parameters that
            contradict one another; at invocation, a prompt that is empty or longer than the model's context.
    """
    prepared = _prepare(model, until, candidates, parameters, ranked=candidates != 1)
    prompt: Runnable[Any, str] = RunnableLambda(prepared.check)
    if candidates > 1:
        return RunnableSequence(
            prompt, RankedCompletions(prepared, rank), RunnableLambda(_best), name="code_completion"
        )
    if isinstance(prepared.model, TextModel):
        return RunnableSequence(prompt, prepared.model, name="code_completion")
    cut = RunnableGenerator(partial(_cut, prepared.stops), partial(_acut, prepared.stops))
    return RunnableSequence(prompt, prepared.model.bind(**prepared.options), cut, name="code_completion")


def ranked_completions(
    model: BaseLanguageModel[Any],
    *,
    until: Until | Sequence[str] = "block",
    candidates: int = 1,
    rank: Callable[[Completion], Any] = by_parse_and_likelihood,
    **parameters: Unpack[ParameterKeywords],
) -> Runnable[Any, list[Completion]]:
    """As `code_completion`, but returns all candidates of a prompt, the best first."""
    prepared = _prepare(model, until, candidates, parameters, ranked=True)
    return RunnableSequence(
        RunnableLambda(prepared.check), RankedCompletions(prepared, rank), name="ranked_completions"
    )


def _prepare(
    model: BaseLanguageModel[Any],
    until: str | Sequence[str],
    candidates: int,
    parameters: Mapping[str, Any],
    *,
    ranked: bool,
) -> CompletionModel:
    """The model with parameters and stop strings; with likelihoods where candidates are `ranked`."""
    stops, parameters = _stops(until), with_one_name(parameters)
    if isinstance(candidates, bool) or not isinstance(candidates, int) or candidates < 1:
        raise ValueError(f"candidates: {candidates!r} is not a number of completions; give 1 or more")
    if isinstance(model, PromptedChatModel):
        parameters = model.given() | parameters
        model = model.llm
    if not isinstance(model, BaseLLM):
        raise ValueError(
            f"model: {type(model).__name__} does not continue text; give an LLM (load_llm), with its parameters set on it"
        )
    if isinstance(model, TextModel):
        return CompletionModel(_configure(model, stops, candidates, parameters, ranked=ranked), stops, {}, candidates)
    model, options = configure_llm(model, parameters)
    own_stop = parameters.get("stop") or ()
    if stop := [*([own_stop] if isinstance(own_stop, str) else own_stop), *stops]:
        options["stop"] = stop
    return CompletionModel(model, stops, options, candidates)


def _configure(
    model: TextModel, stops: tuple[str, ...], candidates: int, parameters: Mapping[str, Any], *, ranked: bool
) -> TextModel:
    """The model with all parameters set on it, so that unsupported ones raise at construction."""
    check_known("parameter", parameters, PARAMETER_NAMES)
    if parameters.get("return_full_text"):
        raise ValueError("return_full_text: a completion comes without its prompt; leave it out")
    own = {name: value for name in PARAMETER_NAMES if (value := getattr(model, name)) is not None}
    chosen = own | {name: value for name, value in parameters.items() if value is not None}
    sequences = chosen.pop("num_return_sequences", None)
    if sequences not in (None, 1, candidates):
        raise ValueError(f"num_return_sequences={sequences!r}: leave it out; candidates={candidates} replaces it")
    given = GenerationParameters(**chosen)
    changes: dict[str, Any] = {**given.given(), "return_full_text": None, "stop": (*(given.stop or ()), *stops) or None}
    if given.max_new_tokens is None and given.max_length is None:
        changes["max_new_tokens"] = MAX_NEW_TOKENS
    if candidates > (given.num_beams or 1):
        if not any(getattr(given, name) is not None for name in SAMPLING_PARAMETERS):
            changes |= SAMPLING
        elif not given.samples:
            raise ValueError(
                f"candidates: without sampling all {candidates} are the same; give a temperature above 0, 1 candidate, "
                f"or num_beams={candidates} where the model supports beam search"
            )
    changes["num_return_sequences"] = candidates if candidates > 1 and returns_several(model) else None
    if ranked and "likelihood" in type(model).model_fields:
        changes["likelihood"] = True
    return model.with_fields(**changes)


def _stops(until: str | Sequence[str]) -> tuple[str, ...]:
    if isinstance(until, str):
        if until not in UNTIL:
            raise unknown_name("until", until, (*UNTIL, "a list of stop strings"))
        return UNTIL[until]
    if not isinstance(until, Sequence) or not all(isinstance(stop, str) and stop for stop in until) or not until:
        raise ValueError(
            f"until: {until!r} contains no stop strings; give {', '.join(UNTIL)} or a list of texts, none empty"
        )
    return tuple(until)


def _best(completions: list[Completion]) -> str:
    return completions[0].text


def _cut(stops: Sequence[str], chunks: Iterator[str]) -> Iterator[str]:
    """The text of an LLM that may not support stop strings, up to the first."""
    cutter = StopCutter(stops)
    for chunk in chunks:
        yield cutter.feed(chunk)
        if cutter.stopped:
            return
    yield cutter.flush()


async def _acut(stops: Sequence[str], chunks: AsyncIterator[str]) -> AsyncIterator[str]:
    """As `_cut`."""
    cutter = StopCutter(stops)
    async for chunk in chunks:
        yield cutter.feed(chunk)
        if cutter.stopped:
            return
    yield cutter.flush()
