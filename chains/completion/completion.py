r"""Go on with code: `code_completion` gives what comes next, `ranked_completions` several candidates, the best first.

    complete = code_completion(load_llm("local:codeparrot"))
    complete.invoke("def mean(numbers):\n")                       # "    return sum(numbers) / len(numbers)"
    complete = code_completion(load_llm("local:codeparrot"), candidates=8, temperature=0.6)

The prompt goes to the model as it is. Blanks at its end are kept, and harm: the tokenizers of most models put a blank
before a word into the word's own token, so after "return " such a model has no good way on; end with "return".
"""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from langchain_core.language_models import BaseLanguageModel
from langchain_core.language_models.llms import BaseLLM
from langchain_core.runnables import Runnable, RunnableGenerator, RunnableLambda, RunnableSequence
from sagechain.llms import PARAMETER_NAMES, GenerationParameters, PromptedChatModel, StopCutter, TextModel
from sagechain.prompts import check_known, unknown_name

from .candidates import Asked, Completion, Ranked, by_parse_and_likelihood, gives_several

UNTIL: dict[str, tuple[str, ...]] = {
    # What begins the next block at the left margin. Source: the Hugging Face course, "Training a causal language model".
    "block": ("\ndef", "\nclass", "\n#", "\nif", "\nprint"),
    "line": ("\n",),
    "end": (),
}
MAX_NEW_TOKENS = 256  # for models of ours that have no limit of their own: without one a small model may never end
# For several candidates where nobody says how they are drawn. Source: arXiv 2107.03374, which ranks samples by their mean
# log probability at temperature 0.8, all with top-p 0.95.
SAMPLING = {"temperature": 0.8, "top_p": 0.95}
CHANCE = ("do_sample", "temperature", "top_k", "top_p")


def code_completion(
    model: BaseLanguageModel[Any],
    *,
    until: str | Sequence[str] = "block",
    candidates: int = 1,
    rank: Callable[[Completion], Any] = by_parse_and_likelihood,
    **parameters: Any,
) -> Runnable[Any, str]:
    """A Runnable from a prompt (a text, or what a prompt template gives) to its completion, without the prompt.

    One candidate streams as the model does; of several the best is given, once all are there. A batch is the model's own,
    of the prompts that it takes: each is checked before the first is sent.

    Args:
        model: an LLM; of a `PromptedChatModel` the LLM below it. Over a wire that takes roles the prompt is one user's
            turn, and the completion an answer to it.
        until: where the completion ends: `block` (the next function, class, comment, `if` or `print` at the left margin),
            `line`, `end` (the model's own end), or stop strings of your own. Those of the model hold besides.
        candidates: completions that are drawn for a prompt: by chance, as the temperature says, or by as many beams.
        rank: what a candidate is worth, the highest first; of equals the one that came first.
        parameters: inference parameters, as for `load_llm`; for another's LLM, arguments of its calls.

    Raises:
        ValueError: a model that continues no text, an unknown `until`, fewer than one candidate, parameters that do not
            fit; at the call, a prompt that is empty, or longer than a model whose tokens are counted here takes.
    """
    asked = _asked(model, until, candidates, parameters, ranked=candidates != 1)
    prompt: Runnable[Any, str] = RunnableLambda(asked.checked)
    if candidates > 1:
        return RunnableSequence(prompt, Ranked(asked, rank), RunnableLambda(_best), name="code_completion")
    if isinstance(asked.model, TextModel):
        return RunnableSequence(prompt, asked.model, name="code_completion")
    cut = RunnableGenerator(partial(_cut, asked.stops), partial(_acut, asked.stops))
    return RunnableSequence(prompt, asked.model.bind(**asked.options), cut, name="code_completion")


def ranked_completions(
    model: BaseLanguageModel[Any],
    *,
    until: str | Sequence[str] = "block",
    candidates: int = 1,
    rank: Callable[[Completion], Any] = by_parse_and_likelihood,
    **parameters: Any,
) -> Runnable[Any, list[Completion]]:
    """As `code_completion`, with all candidates of a prompt, the best first."""
    asked = _asked(model, until, candidates, parameters, ranked=True)
    return RunnableSequence(RunnableLambda(asked.checked), Ranked(asked, rank), name="ranked_completions")


def _asked(
    model: BaseLanguageModel[Any],
    until: str | Sequence[str],
    candidates: int,
    parameters: Mapping[str, Any],
    *,
    ranked: bool,
) -> Asked:
    """What is asked of the model; told are the likelihoods where candidates are `ranked`."""
    stops = _stops(until)
    if isinstance(candidates, bool) or not isinstance(candidates, int) or candidates < 1:
        raise ValueError(f"candidates: {candidates!r} is no number of completions; give 1 or more")
    if isinstance(model, PromptedChatModel):
        own = {"temperature": model.temperature, "max_new_tokens": model.max_tokens, "stop": model.stop}
        model, parameters = model.llm, {name: v for name, v in own.items() if v is not None} | dict(parameters)
    if not isinstance(model, BaseLLM):
        raise ValueError(
            f"model: {type(model).__name__} continues no text; give an LLM (load_llm), with its parameters set on it"
        )
    if isinstance(model, TextModel):
        return Asked(_fitted(model, stops, candidates, parameters, ranked=ranked), stops, {}, candidates)
    options, own_stop = dict(parameters), parameters.get("stop") or ()
    if stop := [*([own_stop] if isinstance(own_stop, str) else own_stop), *stops]:
        options["stop"] = stop
    return Asked(model, stops, options, candidates)


def _fitted(
    model: TextModel, stops: tuple[str, ...], candidates: int, parameters: Mapping[str, Any], *, ranked: bool
) -> TextModel:
    """The model with all that is asked set on it, so that what it does not carry is refused now."""
    check_known("parameter", parameters, PARAMETER_NAMES)
    if parameters.get("return_full_text"):
        raise ValueError("return_full_text: a completion comes without its prompt; leave it out")
    own = {name: value for name in PARAMETER_NAMES if (value := getattr(model, name)) is not None}
    chosen = own | {name: value for name, value in parameters.items() if value is not None}
    several = chosen.pop("num_return_sequences", None)
    if several not in (None, 1, candidates):
        raise ValueError(f"num_return_sequences={several!r}: leave it out; candidates={candidates} says how many")
    given = GenerationParameters(**chosen)
    changes: dict[str, Any] = {**given.given(), "return_full_text": None, "stop": (*(given.stop or ()), *stops) or None}
    if given.max_new_tokens is None and given.max_length is None:
        changes["max_new_tokens"] = MAX_NEW_TOKENS
    if candidates > (given.num_beams or 1):
        if not any(getattr(given, name) is not None for name in CHANCE):
            changes |= SAMPLING
        elif not given.samples:
            raise ValueError(
                f"candidates: without chance all {candidates} are the same; give a temperature above 0, 1 candidate, "
                f"or num_beams={candidates} where the model has beams"
            )
    changes["num_return_sequences"] = candidates if candidates > 1 and gives_several(model) else None
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
            f"until: {until!r} holds no stop strings; give {', '.join(UNTIL)} or a list of texts, none empty"
        )
    return tuple(until)


def _best(completions: list[Completion]) -> str:
    return completions[0].text


def _cut(stops: Sequence[str], pieces: Iterator[str]) -> Iterator[str]:
    """The pieces of an LLM that may not know of stop strings, up to the first."""
    cutter = StopCutter(stops)
    for piece in pieces:
        yield cutter.feed(piece)
        if cutter.stopped:
            return
    yield cutter.flush()


async def _acut(stops: Sequence[str], pieces: AsyncIterator[str]) -> AsyncIterator[str]:
    """As `_cut`."""
    cutter = StopCutter(stops)
    async for piece in pieces:
        yield cutter.feed(piece)
        if cutter.stopped:
            return
    yield cutter.flush()
