"""What users of LangChain write first: retries, fallbacks, and a URI as the keyword `model`."""

from collections.abc import Callable
from typing import Any

import pytest
from sagechain.llms import PromptedChatModel, errors, load_chat_model, load_llm
from sagechain.llms.testing import ScriptedLLM


class Busy(ScriptedLLM):
    """Raises these errors before it answers."""

    failures: list[Any] = []  # noqa: RUF012 - a field

    def next_answer(self, prompt: str) -> str:
        if self.failures:
            raise self.failures.pop(0)
        return "Here."


def throttled() -> errors.LLMError:
    return errors.Throttled("busy", "too many requests.")


def test_retryable_are_exactly_the_errors_after_which_a_request_may_succeed() -> None:
    classes = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, errors.LLMError)]
    assert set(errors.RETRYABLE) == {each for each in classes if each.retryable}


@pytest.mark.parametrize("wrap", [lambda llm: llm, lambda llm: PromptedChatModel(llm=llm)])
def test_with_retry_repeats_what_may_succeed_and_nothing_else(wrap: Callable[[Any], Any]) -> None:
    def patient(failures: list[Any]) -> Any:
        options: Any = {"retry_if_exception_type": errors.RETRYABLE, "wait_exponential_jitter": False}
        return wrap(Busy(failures=failures)).with_retry(**options)

    answer = patient([throttled(), throttled()]).invoke("Hi")
    assert getattr(answer, "text", answer) == "Here."
    remaining = [errors.AccessDenied("busy", "no."), throttled()]
    with pytest.raises(errors.AccessDenied):
        patient(remaining).invoke("Hi")


async def test_with_fallbacks_uses_the_next_model_after_our_errors_and_not_after_bad_input() -> None:
    first = PromptedChatModel(llm=Busy(failures=[throttled()] * 2))
    second = PromptedChatModel(llm=ScriptedLLM(["Instead."] * 2))
    safe = first.with_fallbacks([second], exceptions_to_handle=(errors.LLMError,))
    assert safe.invoke("Hi").text == "Instead."
    assert (await safe.ainvoke("Hi")).text == "Instead."
    with pytest.raises(ValueError, match="temperature: -1 is not a number of at least 0"):
        safe.invoke("Hi", temperature=-1)


@pytest.mark.parametrize("load", [load_llm, load_chat_model])
@pytest.mark.parametrize("uri", ["local:smollm2", "sagemaker:e?family=falcon"])
def test_a_uri_as_the_keyword_model_is_told_its_place(load: Callable[..., Any], uri: str) -> None:
    with pytest.raises(
        ValueError, match=r"^model: the URI is the first argument, without a keyword: load_chat_model\('"
    ):
        load(model=uri)
