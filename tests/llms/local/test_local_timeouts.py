"""`timeout` on this machine: what is raised, that the engine is free again, and that without one nothing is cut."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sagechain.llms import TextModel, errors, load_chat_model, load_llm

from tests.llms.checkpoints import load_exactly

PROMPT = "Once upon a time"


@pytest.fixture(scope="module", params=["llama.cpp", "transformers"])
def engine(request: pytest.FixtureRequest, smollm2: Path) -> Iterator[TextModel]:
    """A model with one slot, whose answer to PROMPT has no end for seconds."""
    if request.param == "llama.cpp":
        yield load_llm(f"local:{smollm2}?slots=1&context=2000", max_new_tokens=1900)
    else:
        yield request.getfixturevalue("converted").with_fields(max_new_tokens=1900)


def test_a_whole_generation_that_takes_too_long_has_timed_out_and_frees_the_engine(engine: TextModel) -> None:
    with pytest.raises(errors.TimedOut, match=r"no answer came within 0\.3 seconds\. Request fewer tokens"):
        engine.with_fields(timeout=0.3).invoke(PROMPT)
    # The only slot: this could not come before the end of the one above.
    assert engine.invoke(PROMPT, max_new_tokens=1)


def test_a_stream_without_a_first_chunk_has_timed_out(engine: TextModel) -> None:
    with pytest.raises(errors.TimedOut):
        list(engine.with_fields(timeout=0.001).stream(PROMPT))
    assert engine.invoke(PROMPT, max_new_tokens=1)


def test_a_stream_may_take_longer_than_its_timeout_in_all(engine: TextModel) -> None:
    engine.invoke(PROMPT, max_new_tokens=1)
    chunks = list(engine.with_fields(timeout=20.0, max_new_tokens=30).chunks(PROMPT))
    assert (chunks[-1].generation_info or {})["output_tokens"] == 30


def test_a_stream_that_waits_too_long_between_chunks_is_interrupted(
    gpt2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    llm = load_exactly(gpt2, max_new_tokens=20, temperature=0).with_fields(timeout=0.3)
    generate, stall = llm.pipeline.model.generate, threading.Event()

    def stalls(**settings: object) -> object:
        criteria = settings["stopping_criteria"]
        after_two = type(criteria[0])  # type: ignore[index]
        original = after_two.__call__
        steps: list[int] = []

        def step(self: object, *args: object, **options: object) -> object:
            steps.append(1)
            result = original(self, *args, **options)
            if len(steps) == 2:
                stall.wait(5)
            return result

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(after_two, "__call__", step)
            return generate(**settings)

    monkeypatch.setattr(llm.pipeline.model, "generate", stalls)
    shown: list[str] = []
    with pytest.raises(errors.StreamInterrupted, match="no answer came within") as raised:
        shown.extend(chunk.text for chunk in llm.chunks("the quick brown"))
    stall.set()
    assert raised.value.partial_text == "".join(shown) != ""


def test_each_chat_model_passes_its_timeout_on(smollm2: Path) -> None:
    chat = load_chat_model(f"local:{smollm2}?slots=1&context=2000", timeout=0.2, max_tokens=1900)
    with pytest.raises(errors.TimedOut):
        chat.invoke("Tell me a long story.")


def test_without_a_timeout_a_local_generation_has_no_limit_worth_the_name(smollm2: Path) -> None:
    assert load_llm(f"local:{smollm2}").timeout == 86_400
