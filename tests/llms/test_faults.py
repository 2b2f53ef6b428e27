"""The fault matrix: what a user meets when AWS, a container or the network fails, in each of four ways of asking.

The local runtime shows the faults; nothing of boto3 is replaced. docs/faults.md is the table of what was seen.
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

pytestmark = pytest.mark.timeout(1200)  # the first test makes the calls for all

PROMPT = "User: What is the capital of France?\nAssistant:"
TIMEOUT = 120.0  # seconds; more than any call takes here, on a busy machine too
SHORT_TIMEOUT = 10.0  # seconds, for what never comes; the first pieces of a stream come sooner, on a busy machine too
HANGS = ("hang", "stalled")
WAYS = ("invoke", "stream", "ainvoke", "astream")
ANSWER = "the answer"
NO_FAULT = "no fault"
SECRETS = {
    "AWS_ACCESS_KEY_ID": "AKIDMADEUP",
    "AWS_SECRET_ACCESS_KEY": "made-up-secret",
    "AWS_SESSION_TOKEN": "made-up-session-token",
}


@dataclass(frozen=True)
class Case:
    """A fault, and what a call (`invoke`, `ainvoke`) and a stream must make of it: ANSWER or an error's name."""

    fault: str
    called: str
    streamed: str
    sent: tuple[int, int]
    """Requests of a call and of a stream."""
    settings: dict[str, Any] = field(default_factory=dict)
    wire: str = "tgi"
    asked: dict[str, Any] = field(default_factory=dict)
    """Parameters beside the usual ones."""

    def expected(self, way: str) -> str:
        return self.streamed if way.endswith("stream") else self.called

    def timeout(self, way: str) -> float:
        return SHORT_TIMEOUT if self.fault in HANGS and self.expected(way) != ANSWER else TIMEOUT

    @property
    def name(self) -> str:
        parts = [self.fault, *(f"{name} {value}" for name, value in {**self.settings, **self.asked}.items())]
        return ", ".join(parts if self.wire == "tgi" else [*parts, self.wire])


def again(fault: str, error: str, wire: str = "tgi") -> list[Case]:
    """A fault that may pass, so that the request is sent up to three times."""
    return [
        Case(fault, ANSWER, ANSWER, (2, 2), {"times": 1}, wire),
        Case(fault, ANSWER, ANSWER, (3, 3), {"times": 2}, wire),
        Case(fault, error, error, (3, 3), {}, wire),
    ]


def once(fault: str, error: str, wire: str = "tgi") -> list[Case]:
    """A fault that will not pass, or after which a second request might be billed a second time."""
    return [Case(fault, error, error, (1, 1), {}, wire)]


def in_stream(fault: str, error: str, sent: int, wire: str = "tgi") -> list[Case]:
    """A fault inside a stream: as the very first thing, and after two frames."""
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
    *again("throttled", "Throttled"),
    *again("bare-429", "Throttled"),
    *again("not-ready", "ModelNotReady"),
    *again("internal-failure", "ServiceFailed"),
    *again("service-unavailable", "ServiceFailed"),
    *again("dependency-failure", "ServiceFailed"),
    *again("bad-gateway", "ServiceFailed"),
    *again("out-of-memory", "ModelFailed"),
    *again("overloaded", "Throttled"),
    *again("reset", "ConnectionFailed"),
    *once("eula", "EulaNotAccepted"),
    *once("time-limit", "TimedOut"),
    *once("denied", "AccessDenied"),
    *once("expired", "AccessDenied"),
    *once("bad-signature-echo", "AccessDenied"),
    *once("missing-endpoint", "EndpointNotFound"),
    *once("hang", "TimedOut"),
    Case("slow", ANSWER, ANSWER, (1, 1), {"seconds": 0.2}),
    *(
        Case(NO_FAULT, "RequestRejected", "RequestRejected", (1, 1), {}, wire, {"max_new_tokens": 100_000})
        for wire in ("tgi", "lmi", "messages")
    ),
    *(case for fault in BODIES for case in once(fault, "MalformedResponse")),
    Case("in-band-error", "ModelFailed", "ModelFailed", (3, 3), {"frames": 0}),
    Case("in-band-error", "ModelFailed", "StreamInterrupted", (3, 1), {"frames": 2}),
    *(case for fault, error, sent in STREAM_FAULTS for case in in_stream(fault, error, sent)),
    *(Case(fault, ANSWER, ANSWER, (1, 1)) for fault in HARMLESS),
    # The same over the other wires, where a wire has a part in it.
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
        for case in once(fault, "MalformedResponse", wire)
    ),
]


@dataclass(frozen=True)
class Outcome:
    """What a user saw: the text, or what had been yielded and the error."""

    text: str
    error: Exception | None
    seconds: float
    requests: int

    @property
    def word(self) -> str:
        return ANSWER if self.error is None else type(self.error).__name__


@pytest.fixture(scope="module")
def seen(llm: LlamaCppLLM) -> dict[tuple[str, str], Outcome]:
    """Every case in every way; beside them, without a fault, what each wire answers when all is well."""
    with ExitStack() as stack:
        logs = stack.enter_context(_captured_logs())
        environment = stack.enter_context(pytest.MonkeyPatch.context())
        for name, secret in SECRETS.items():
            environment.setenv(name, secret)
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        healthy = [healthy_case(wire) for wire in {case.wire for case in CASES}]
        cells = [(case, way, f"e{number}") for number, (case, way) in enumerate(product([*healthy, *CASES], WAYS))]
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
            case, way, name = cell
            model = models_by_wire[case.wire, case.timeout(way)].model_copy(
                update={"endpoint_name": name, **case.asked}
            )
            began = time.monotonic()
            text, error = _asked(model, way)
            took = time.monotonic() - began
            sent = sum(f"/{name}/" in request.path for request in tuple(runtime.requests))
            return Outcome(text, error, took, sent)

        with ThreadPoolExecutor(16) as threads:
            # Those with little time go first, while the engine has nothing else to do.
            hurried = [cell for cell in cells if cell[0].timeout(cell[1]) == SHORT_TIMEOUT]
            others = [cell for cell in cells if cell not in hurried]
            found = [*threads.map(outcome, hurried), *threads.map(outcome, others)]
        outcomes = {(case.name, way): result for (case, way, _), result in zip([*hurried, *others], found, strict=True)}
    assert not secrets_in("\n".join(logs))
    return outcomes


def healthy_case(wire: str) -> Case:
    return Case(NO_FAULT, ANSWER, ANSWER, (1, 1), {}, wire)


def secrets_in(text: str) -> list[str]:
    return [secret for secret in SECRETS.values() if secret in text]


def chain(error: BaseException) -> list[BaseException]:
    """An error, and all that it came from or came up beside."""
    found = [error]
    for each in found:
        found += [other for other in (each.__cause__, each.__context__) if other is not None and other not in found]
    return found


def _asked(llm: SageMakerLLM, way: str) -> tuple[str, Exception | None]:
    pieces: list[str] = []

    async def asynchronous() -> None:
        if way == "ainvoke":
            pieces.append(await llm.ainvoke(PROMPT))
            return
        async for piece in llm.astream(PROMPT):
            pieces.append(piece)

    try:
        if way == "invoke":
            pieces.append(llm.invoke(PROMPT))
        elif way == "stream":
            pieces.extend(iter(llm.stream(PROMPT)))
        else:
            asyncio.run(asynchronous())
    except Exception as error:  # noqa: BLE001  # which one it is, the tests say
        return "".join(pieces), error
    return "".join(pieces), None


class _captured_logs(logging.Handler):  # noqa: N801
    """All warnings of any logger, tracebacks among them, and all that sagechain's say; botocore's DEBUG tells secrets."""

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


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_fault_is_recovered_from_or_is_the_right_error(
    seen: dict[tuple[str, str], Outcome], case: Case, way: str
) -> None:
    outcome, streamed = seen[case.name, way], way.endswith("stream")
    whole = seen[healthy_case(case.wire).name, "invoke"].text
    assert outcome.word == case.expected(way), repr(outcome.error)
    assert outcome.requests == case.sent[streamed]
    assert outcome.seconds < 2 * case.timeout(way)
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


def test_the_guide_shows_the_matrix_as_it_was_seen(
    seen: dict[tuple[str, str], Outcome], same_page: Callable[[str, str], None]
) -> None:
    def cell(case: Case, way: str) -> str:
        outcome = seen[case.name, way]
        word = outcome.word if outcome.error is None else f"`{outcome.word}`"
        return word if outcome.requests == 1 else f"{word} ({outcome.requests} requests)"

    rows = [f"| {case.name} | {' | '.join(cell(case, way) for way in WAYS)} |" for case in CASES]
    head = f"| fault | {' | '.join(WAYS)} |\n|---|{'---|' * len(WAYS)}"
    same_page("faults.md", f"{INTRODUCTION}\n{head}\n" + "\n".join(rows) + "\n")


INTRODUCTION = """# Faults

What a program meets when AWS, a model's container or the network fails: the answer all the same, or one of sagechain's
errors. This table is what the tests saw with `max_retries=2`, over the local runtime, which shows each of these faults on
demand:

```python
from sagechain.local_aws import LocalRuntime, list_faults

busy = {"model": "local:smollm2", "family": "falcon", "fault": "throttled", "times": 2}
with LocalRuntime({"busy-falcon": busy}) as runtime:
    print(runtime.url, list_faults()[:3])
```

`times` is the number of requests that meet the fault (all, if it is not given), `frames` how many frames of a stream come
before it. Where no wire is named it is `tgi`. Under "no fault" the container itself refuses: the model's context has no
room for an answer of that many tokens. The errors that are tried again are those whose class says `retryable`; a read
time-out, and anything after a stream's first piece of text, never is.
"""
