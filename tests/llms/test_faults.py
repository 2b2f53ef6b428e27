"""The fault matrix: what a program gets when AWS, a container or the network fails, in each of four methods.

The local runtime makes the faults; nothing of boto3 is replaced. docs/faults.md is the table of the observed outcomes.
"""

import asyncio
import logging
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import pytest
from sagechain.llms import LlamaCppLLM, SageMakerLLM, errors
from sagechain.local_aws import LocalRuntime, list_faults

pytestmark = pytest.mark.timeout(1200)  # the first test runs all the generations

PROMPT = "User: What is the capital of France?\nAssistant:"
TIMEOUT = 120.0  # seconds; more than any generation takes here, on a busy machine too
SHORT_TIMEOUT = 10.0  # seconds, for a reply that never arrives; the first chunks of a stream arrive sooner
HANGS = ("hang", "stalled")
METHODS = ("invoke", "stream", "ainvoke", "astream")
ANSWER = "the answer"
NO_FAULT = "no fault"
SECRETS = {
    "AWS_ACCESS_KEY_ID": "AKIDMADEUP",
    "AWS_SECRET_ACCESS_KEY": "made-up-secret",
    "AWS_SESSION_TOKEN": "made-up-session-token",
}


@dataclass(frozen=True)
class Case:
    """A fault, and what a unary method (`invoke`, `ainvoke`) and a stream result in: ANSWER or an error's name."""

    fault: str
    unary: str
    streamed: str
    requests: tuple[int, int]
    """Requests of a unary method and of a stream."""
    settings: dict[str, Any] = field(default_factory=dict)
    wire: str = "tgi"
    parameters: dict[str, Any] = field(default_factory=dict)
    """Parameters in addition to the usual ones."""

    def expected(self, method: str) -> str:
        return self.streamed if method.endswith("stream") else self.unary

    def timeout(self, method: str) -> float:
        return SHORT_TIMEOUT if self.fault in HANGS and self.expected(method) != ANSWER else TIMEOUT

    @property
    def name(self) -> str:
        parts = [self.fault, *(f"{name} {value}" for name, value in {**self.settings, **self.parameters}.items())]
        return ", ".join(parts if self.wire == "tgi" else [*parts, self.wire])


def retried(fault: str, error: str, wire: str = "tgi") -> list[Case]:
    """A fault that may pass: the request is sent up to three times."""
    return [
        Case(fault, ANSWER, ANSWER, (2, 2), {"times": 1}, wire),
        Case(fault, ANSWER, ANSWER, (3, 3), {"times": 2}, wire),
        Case(fault, error, error, (3, 3), {}, wire),
    ]


def not_retried(fault: str, error: str, wire: str = "tgi") -> list[Case]:
    """A fault that does not pass, or after which a second request might be billed a second time."""
    return [Case(fault, error, error, (1, 1), {}, wire)]


def in_stream(fault: str, error: str, sent: int, wire: str = "tgi") -> list[Case]:
    """A fault inside a stream: before the first frame, and after two frames."""
    return [
        Case(fault, ANSWER, error, (1, sent), {"frames": 0}, wire),
        Case(fault, ANSWER, "StreamInterrupted", (1, 1), {"frames": 2}, wire),
    ]


STREAM_FAULTS = [
    ("stream-reset", "ConnectionFailed", 3),
    ("stream-closed", "ConnectionFailed", 3),
    ("stream-ended", "MalformedResponse", 1),
    ("half-frame", "MalformedResponse", 1),
    ("stalled", "TimedOut", 1),
    ("model-time-limit", "TimedOut", 1),
    ("stream-broken", "ModelFailed", 3),
    ("stream-failure", "ServiceFailed", 3),
    ("error-frame", "ServiceFailed", 3),
    ("bad-checksum", "MalformedResponse", 1),
    ("garbage-line", "MalformedResponse", 1),
]
HARMLESS = ("keep-alive", "unknown-event", "byte-frames", "no-last-newline")
BODIES = ("empty", "malformed", "not-json", "null", "wrong-shape", "short-body", "reset-in-body")

CASES = [
    *retried("throttled", "Throttled"),
    *retried("bare-429", "Throttled"),
    *retried("not-ready", "ModelNotReady"),
    *retried("internal-failure", "ServiceFailed"),
    *retried("service-unavailable", "ServiceFailed"),
    *retried("dependency-failure", "ServiceFailed"),
    *retried("bad-gateway", "ServiceFailed"),
    *retried("out-of-memory", "ModelFailed"),
    *retried("overloaded", "Throttled"),
    *retried("reset", "ConnectionFailed"),
    *not_retried("eula", "EulaNotAccepted"),
    *not_retried("time-limit", "TimedOut"),
    *not_retried("denied", "AccessDenied"),
    *not_retried("expired", "AccessDenied"),
    *not_retried("bad-signature-echo", "AccessDenied"),
    *not_retried("missing-endpoint", "EndpointNotFound"),
    *not_retried("hang", "TimedOut"),
    Case("slow", ANSWER, ANSWER, (1, 1), {"seconds": 0.2}),
    *(
        Case(NO_FAULT, "RequestRejected", "RequestRejected", (1, 1), {}, wire, {"max_new_tokens": 100_000})
        for wire in ("tgi", "lmi", "messages")
    ),
    *(case for fault in BODIES for case in not_retried(fault, "MalformedResponse")),
    Case("in-band-error", "ModelFailed", "ModelFailed", (3, 3), {"frames": 0}),
    Case("in-band-error", "ModelFailed", "StreamInterrupted", (3, 1), {"frames": 2}),
    *(case for fault, error, sent in STREAM_FAULTS for case in in_stream(fault, error, sent)),
    *(Case(fault, ANSWER, ANSWER, (1, 1)) for fault in HARMLESS),
    # The same over the other wires, where the wire matters.
    *(
        case
        for wire in ("lmi", "messages")
        for case in [
            Case("in-band-error", "ModelFailed", "ModelFailed", (3, 3), {"frames": 0}, wire),
            Case("in-band-error", "ModelFailed", "StreamInterrupted", (3, 1), {"frames": 2}, wire),
            *in_stream("stream-ended", "MalformedResponse", 1, wire),
            *in_stream("garbage-line", "MalformedResponse", 1, wire),
            *(Case(fault, ANSWER, ANSWER, (1, 1), {}, wire) for fault in HARMLESS),
        ]
    ),
    *(
        Case("in-band-error", "ModelFailed", "ModelFailed", (3, 3), {}, wire)
        for wire in ("hf", "llama2-text", "llama2-dialog")
    ),
    *(
        case
        for wire in ("lmi", "messages", "hf", "llama2-text", "llama2-dialog")
        for fault in BODIES
        for case in not_retried(fault, "MalformedResponse", wire)
    ),
]


@dataclass(frozen=True)
class Outcome:
    """What a program got: the text, or the error and the text that was yielded before it."""

    text: str
    error: Exception | None
    seconds: float
    requests: int

    @property
    def name(self) -> str:
        return ANSWER if self.error is None else type(self.error).__name__


@pytest.fixture(scope="module")
def outcomes(llm: LlamaCppLLM) -> dict[tuple[str, str], Outcome]:
    """The outcome of every case in every method; also the answer over each wire without a fault."""
    with ExitStack() as stack:
        logs = stack.enter_context(_captured_logs())
        environment = stack.enter_context(pytest.MonkeyPatch.context())
        for name, secret in SECRETS.items():
            environment.setenv(name, secret)
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        healthy = [healthy_case(wire) for wire in {case.wire for case in CASES}]
        cells = [
            (case, method, f"e{number}") for number, (case, method) in enumerate(product([*healthy, *CASES], METHODS))
        ]
        models = {
            name: {
                "model": "local:smollm2",
                "wire": case.wire,
                **({} if case.fault == NO_FAULT else {"fault": case.fault}),
                **case.settings,
            }
            for case, _, name in cells
        }
        runtime = stack.enter_context(LocalRuntime(models))
        environment.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", runtime.url)
        models_by_wire = {
            (wire, timeout): SageMakerLLM(
                endpoint_name="e", wire=wire, max_new_tokens=4, accept_eula=True, max_concurrency=16, timeout=timeout
            )
            for wire in {case.wire for case in CASES}
            for timeout in (TIMEOUT, SHORT_TIMEOUT)
        }

        def outcome(cell: tuple[Case, str, str]) -> Outcome:
            case, method, name = cell
            model = models_by_wire[case.wire, case.timeout(method)].model_copy(
                update={"endpoint_name": name, **case.parameters}
            )
            began = time.monotonic()
            text, error = _generate(model, method)
            took = time.monotonic() - began
            sent = sum(f"/{name}/" in request.path for request in tuple(runtime.requests))
            return Outcome(text, error, took, sent)

        with ThreadPoolExecutor(16) as threads:
            # Those with a short timeout go first, while the engine is idle.
            short = [cell for cell in cells if cell[0].timeout(cell[1]) == SHORT_TIMEOUT]
            others = [cell for cell in cells if cell not in short]
            found = [*threads.map(outcome, short), *threads.map(outcome, others)]
        by_case = {
            (case.name, method): result for (case, method, _), result in zip([*short, *others], found, strict=True)
        }
    assert not secrets_in("\n".join(logs))
    return by_case


def healthy_case(wire: str) -> Case:
    return Case(NO_FAULT, ANSWER, ANSWER, (1, 1), {}, wire)


def secrets_in(text: str) -> list[str]:
    return [secret for secret in SECRETS.values() if secret in text]


def chain(error: BaseException) -> list[BaseException]:
    """An error with all its causes and contexts."""
    found = [error]
    for each in found:
        found += [other for other in (each.__cause__, each.__context__) if other is not None and other not in found]
    return found


def _generate(llm: SageMakerLLM, method: str) -> tuple[str, Exception | None]:
    chunks: list[str] = []

    async def asynchronous() -> None:
        if method == "ainvoke":
            chunks.append(await llm.ainvoke(PROMPT))
            return
        async for chunk in llm.astream(PROMPT):
            chunks.append(chunk)

    try:
        if method == "invoke":
            chunks.append(llm.invoke(PROMPT))
        elif method == "stream":
            chunks.extend(iter(llm.stream(PROMPT)))
        else:
            asyncio.run(asynchronous())
    except Exception as error:  # noqa: BLE001  # the tests check which one it is
        return "".join(chunks), error
    return "".join(chunks), None


class _captured_logs(logging.Handler):  # noqa: N801
    """Warnings of every logger, with tracebacks, and all lines of sagechain's loggers; botocore's DEBUG logs secrets."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING or record.name.startswith("sagechain"):
            self.lines.append(self.format(record))

    def __enter__(self) -> list[str]:
        logging.getLogger().addHandler(self)
        self._level = logging.getLogger("sagechain").level
        logging.getLogger("sagechain").setLevel(logging.INFO)
        return self.lines

    def __exit__(self, *_: object) -> None:
        logging.getLogger("sagechain").setLevel(self._level)
        logging.getLogger().removeHandler(self)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_fault_is_recovered_from_or_is_the_right_error(
    outcomes: dict[tuple[str, str], Outcome], case: Case, method: str
) -> None:
    outcome, streamed = outcomes[case.name, method], method.endswith("stream")
    whole = outcomes[healthy_case(case.wire).name, "invoke"].text
    assert outcome.name == case.expected(method), repr(outcome.error)
    assert outcome.requests == case.requests[streamed]
    assert outcome.seconds < 2 * case.timeout(method)
    if outcome.error is None:
        assert outcome.text == whole
        return
    error = outcome.error
    assert isinstance(error, errors.LLMError)
    assert error.endpoint.startswith("e")
    assert error.advice
    assert error.__cause__ is not None
    shown = "\n".join(f"{each!s} {each!r}" for each in chain(error)) + "".join(traceback.format_exception(error))
    assert not secrets_in(shown)
    if isinstance(error, errors.StreamInterrupted):
        assert error.partial_text == outcome.text
        assert outcome.text
        assert whole.startswith(outcome.text)
        assert outcome.text != whole
    else:
        assert outcome.text == ""


def test_every_fault_of_the_runtime_is_in_the_matrix() -> None:
    assert {case.fault for case in CASES} - {NO_FAULT} == set(list_faults())


def test_the_guide_shows_the_observed_matrix(
    outcomes: dict[tuple[str, str], Outcome], same_page: Callable[[str, str], None]
) -> None:
    def cell(case: Case, method: str) -> str:
        outcome = outcomes[case.name, method]
        word = outcome.name if outcome.error is None else f"`{outcome.name}`"
        return word if outcome.requests == 1 else f"{word} ({outcome.requests} requests)"

    rows = [f"| {case.name} | {' | '.join(cell(case, method) for method in METHODS)} |" for case in CASES]
    head = f"| fault | {' | '.join(METHODS)} |\n|---|{'---|' * len(METHODS)}"
    same_page("faults.md", f"{INTRODUCTION}\n{head}\n" + "\n".join(rows) + "\n")


INTRODUCTION = """# Faults

What a program gets when AWS, a model's container or the network fails: still the answer, or one of sagechain's errors. The
tests wrote this table with `max_retries=2`, over the local runtime, which makes each of these faults on demand:

```python
from sagechain.local_aws import LocalRuntime, list_faults

busy = {"model": "local:smollm2", "family": "falcon", "fault": "throttled", "times": 2}
with LocalRuntime({"busy-falcon": busy}) as runtime:
    print(runtime.url, list_faults()[:3])
```

`times` is the number of requests that meet the fault (by default all), `frames` the number of a stream's frames before it.
Rows without a wire are for `tgi`. Under "no fault" the container itself refuses: the model's context has no room for an
answer of that many tokens. Errors are retried if their class is `retryable`; a read time-out, and anything after a stream's
first chunk of text, never is.
"""
