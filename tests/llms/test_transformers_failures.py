"""Streams in transformers, and what ends them: readers that leave, failures, prompts that are too long, exit, Ctrl-C."""

import asyncio
import logging
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sagechain.llms import HuggingFaceLLM, errors

from tests import processes
from tests.llms.checkpoints import PROMPT, PROMPTS, changed_copy, load_exactly, text


def worker_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "sagechain-generation"]


class Forward:
    """The model's forward pass, counted; `before` runs first in each."""

    def __init__(self, llm: HuggingFaceLLM, patch: pytest.MonkeyPatch, before: Callable[[int], None]) -> None:
        self.steps, self._before, self._forward = 0, before, llm.pipeline.model.forward
        patch.setattr(llm.pipeline.model, "forward", self._counted)

    def _counted(self, *args: Any, **settings: Any) -> Any:
        self.steps += 1
        self._before(self.steps)
        return self._forward(*args, **settings)


def test_a_stream_with_beams_is_one_chunk(tiny: HuggingFaceLLM) -> None:
    [chunk] = tiny.chunks(PROMPT, num_beams=2, max_new_tokens=8)
    assert chunk.text == text(tiny, num_beams=2, max_new_tokens=8)
    assert (chunk.generation_info or {})["output_tokens"] == 8


def test_the_work_ends_when_a_stream_is_closed(tiny: HuggingFaceLLM, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = threading.Event()

    def wait(step: int) -> None:
        if step > 5:  # so far the stream is read
            closed.wait(60)

    forward = Forward(tiny, monkeypatch, wait)
    stream = tiny.stream(PROMPT)
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    closed.set()
    for thread in worker_threads():
        thread.join()
    assert forward.steps <= 6  # of more than 100 to the end of the context


async def test_a_cancelled_generation_ends_the_work(tiny: HuggingFaceLLM, monkeypatch: pytest.MonkeyPatch) -> None:
    started, cancelled = threading.Event(), threading.Event()

    def wait(step: int) -> None:
        started.set()
        cancelled.wait(60)

    forward = Forward(tiny, monkeypatch, wait)
    task = asyncio.create_task(tiny.agenerate(PROMPTS))
    await asyncio.to_thread(started.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    cancelled.set()
    for thread in worker_threads():
        await asyncio.to_thread(thread.join)
    assert forward.steps == 1


def fail_after(steps: int) -> Callable[[int], None]:
    def fail(step: int) -> None:
        if step > steps:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    return fail


def test_a_failure_before_the_first_chunk_is_model_failed(
    tiny: HuggingFaceLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    Forward(tiny, monkeypatch, fail_after(0))
    calls: list[Callable[[], Any]] = [
        lambda: tiny.invoke(PROMPT),
        lambda: list(tiny.stream(PROMPT)),
        lambda: tiny.batch(PROMPTS),
    ]
    for generate in calls:
        with pytest.raises(errors.ModelFailed, match="can't allocate memory") as caught:
            generate()
        assert isinstance(caught.value.__cause__, RuntimeError)


def test_a_failure_in_a_stream_contains_the_text_so_far(tiny: HuggingFaceLLM, monkeypatch: pytest.MonkeyPatch) -> None:
    Forward(tiny, monkeypatch, fail_after(6))
    shown: list[str] = []
    with pytest.raises(errors.StreamInterrupted) as caught:
        shown.extend(tiny.stream(PROMPT))
    assert caught.value.partial_text == "".join(shown)
    assert isinstance(caught.value.__cause__, errors.ModelFailed)
    monkeypatch.undo()
    assert shown
    assert text(tiny, max_new_tokens=6).startswith("".join(shown))


@pytest.mark.parametrize("tokens", [128, 200])
def test_a_prompt_that_fills_the_context_is_refused(tiny: HuggingFaceLLM, tokens: int) -> None:
    prompt = "a" * tokens
    message = f"it has {tokens} tokens, {tokens - 128} more than the context of 128; shorten it$"
    calls: list[Callable[[], Any]] = [
        lambda: tiny.invoke(prompt),
        lambda: tiny.batch(["a", prompt]),
        lambda: list(tiny.stream(prompt)),
    ]
    for generate in calls:
        with pytest.raises(ValueError, match=message):
            generate()


def test_a_prompt_longer_than_the_tokenizers_limit_is_refused_without_a_warning(
    gpt2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    llm = load_exactly(changed_copy(gpt2, tmp_path / "limited", tokenizer_config={"model_max_length": 64}))
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    with caplog.at_level(logging.WARNING), pytest.raises(ValueError, match="136 more than the context of 64; shorten"):
        llm.invoke("a" * 200)
    assert not caplog.records


def test_a_program_may_exit_in_the_middle_of_an_answer(gpt2: Path) -> None:
    script = f"""
from sagechain.llms import load_llm
stream = load_llm("local:{gpt2}").stream("{PROMPT}")
print(len(next(stream)) > 0)
"""
    done = processes.run("-c", script, server="torch", timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")


def test_ctrl_c_ends_a_generation(gpt2: Path) -> None:
    script = f"""
import signal, threading
signal.signal(signal.SIGINT, signal.default_int_handler)
from sagechain.llms import load_llm
llm = load_llm("local:{gpt2}")
forward = llm.pipeline.model.forward
def slow(*args, **settings):
    print("step", flush=True)
    threading.Event().wait(0.2)
    return forward(*args, **settings)
llm.pipeline.model.forward = slow
try:
    llm.invoke("{PROMPT}")
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""
    with processes.start("-c", script, server="torch") as process:
        assert process.stdout.readline() == "step\n"
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "interrupted" in rest
    assert rest.count("step") < 20
