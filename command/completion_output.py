"""Show a completion on standard output: as it comes, or the best of several candidates."""

from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseLanguageModel
from langchain_core.outputs import LLMResult
from sagechain.chains import code_completion, ranked_completions

from .runner import note, warn_if_cut


def show_completion(model: BaseLanguageModel[Any], prompt: str, *, until: str, candidates: int) -> None:
    """Complete one prompt; what is no code goes to standard error.

    Raises:
        ValueError: as `code_completion`.
        LLMError: the model did not answer.
    """
    if candidates > 1:
        found = ranked_completions(model, until=until, candidates=candidates).invoke(prompt)
        print(found[0].text, flush=True)
        warn_if_cut(found[0].finish_reason)
        note(f"({sum(each.parses for each in found)} of {len(found)} candidates parse as Python.)")
        return
    end = _End()
    for piece in code_completion(model, until=until).stream(prompt, {"callbacks": [end]}):
        print(piece, end="", flush=True)
    print(flush=True)
    warn_if_cut(end.reason)


class _End(BaseCallbackHandler):
    """Hears why the model ended: a stream of text does not tell."""

    reason: str | None = None

    def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:
        """The end of a call."""
        self.reason = (response.generations[0][0].generation_info or {}).get("finish_reason")
