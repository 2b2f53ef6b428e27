"""A batch with `return_exceptions`: one input that fails does not lose the answers to the others."""

from typing import Any, ClassVar

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from sagechain.llms import PromptedChatModel, errors
from sagechain.llms.testing import ScriptedLLM


class Echo(ScriptedLLM):
    """Answers `say a` with a, and fails on `broken`."""

    written: ClassVar[list[str]] = []

    def next_answer(self, prompt: str) -> str:
        self.written.append(prompt)
        if "broken" in prompt:
            raise errors.ModelFailed("echo", "it broke.")
        return next(word for word in ("a", "b", "c") if f"say {word}" in prompt)


def shape(results: Any) -> list[Any]:
    return [type(each) if isinstance(each, Exception) else getattr(each, "text", each) for each in results]


def text() -> Echo:
    return Echo()


def chat() -> PromptedChatModel:
    return PromptedChatModel(llm=Echo())


@pytest.mark.parametrize(("make", "empty"), [(text, ""), (chat, [])])
async def test_one_failing_input_does_not_lose_the_others(make: Any, empty: Any) -> None:
    inputs: list[Any] = ["say a", "broken", "say b", 3, empty, "say c"]
    expected = ["a", errors.ModelFailed, "b", ValueError, ValueError, "c"]
    model = make()
    assert shape(model.batch(inputs, return_exceptions=True)) == expected
    assert shape(model.batch(inputs, {"max_concurrency": 1}, return_exceptions=True)) == expected
    assert shape(await model.abatch(inputs, return_exceptions=True)) == expected
    completed = model.batch_as_completed(inputs, return_exceptions=True)
    assert shape(result for _, result in sorted(completed, key=lambda each: each[0])) == expected
    positions = [each async for each in model.abatch_as_completed(inputs, return_exceptions=True)]
    assert shape(result for _, result in sorted(positions, key=lambda each: each[0])) == expected
    assert model.batch([], return_exceptions=True) == []


async def test_without_return_exceptions_the_first_failure_is_raised() -> None:
    for model in (text(), chat()):
        with pytest.raises(errors.ModelFailed):
            model.batch(["say a", "broken"])
        with pytest.raises(errors.ModelFailed):
            await model.abatch(["say a", "broken"])


def test_each_input_of_such_a_batch_has_its_own_configuration_and_run() -> None:
    class Runs(BaseCallbackHandler):
        started: list[Any]
        failed = 0

        def on_llm_start(self, *args: Any, tags: Any = None, **kwargs: Any) -> None:
            self.started.append(tags)

        def on_llm_error(self, *args: Any, **kwargs: Any) -> None:
            self.failed += 1

    runs = Runs()
    runs.started = []
    configs: list[Any] = [{"callbacks": [runs], "tags": [name]} for name in "xyz"]
    text().batch(["say a", "broken", "say b"], configs, return_exceptions=True)
    assert sorted(runs.started) == [["x"], ["y"], ["z"]]
    assert runs.failed == 1


def test_a_cache_answers_inputs_of_such_a_batch() -> None:
    from langchain_core.caches import InMemoryCache

    llm = Echo(cache=InMemoryCache())
    llm.written.clear()
    assert llm.invoke("say a") == "a"
    assert shape(llm.batch(["say a", "broken"], return_exceptions=True)) == ["a", errors.ModelFailed]
    assert llm.written == ["say a", "broken"]
