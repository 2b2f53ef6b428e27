"""What all tests share: connections to loopback only, made-up credentials, one runtime with the real small model."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import hypothesis
import psycopg
import pytest
from sagechain.llms import LlamaCppLLM
from sagechain.llms.load import load_llm
from sagechain.local_aws import LocalRuntime

from tests.postgres_server import running_postgres
from tests.processes import run
from tests.recording import MATCHED, lock_new_connections, recorded_request, recorded_response

LLAMA = "llama-2-7b-chat"
FALCON = "falcon-7b-instruct"
LLAMA_URI = f"sagemaker:{LLAMA}?family=llama2&wire=llama2-dialog"
FALCON_URI = f"sagemaker:{FALCON}?family=falcon"

# Each file goes to one process as a whole: the longest begin, so that in the end no process waits for another.
LONGEST_FILES = ("test_benchmarks.py", "test_demo.py", "test_llama2_assistant.py", "test_training.py")

lock_new_connections()
# If a proxy is set, botocore and others use it for loopback too.
os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost,::1"
# How long an example takes to draw and to run is a matter of the machine. `make prove` draws many.
for profile, examples in {"few": 25, "many": 500}.items():
    hypothesis.settings.register_profile(
        profile,
        max_examples=examples,
        deadline=None,
        suppress_health_check=[hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.function_scoped_fixture],
    )
hypothesis.settings.load_profile("few")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in LONGEST_FILES)


@pytest.fixture(autouse=True)
def made_up_credentials(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test may use the account or the conversations of the person who runs it, unless it records real cassettes."""
    if request.config.getoption("--real"):
        return
    for name in [name for name in os.environ if name.startswith(("AWS_", "SAGECHAIN_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SAGECHAIN_CONFIG", str(tmp_path / "config.yaml"))
    monkeypatch.setenv("SAGECHAIN_THREADS", str(tmp_path / "threads.sqlite"))
    monkeypatch.setenv("SAGECHAIN_LOGS", str(tmp_path / "logs.sqlite"))
    monkeypatch.setenv("SAGECHAIN_PROMPTS", str(tmp_path / "prompts"))
    monkeypatch.setenv("SAGECHAIN_SHOP", str(tmp_path / "shop.sqlite"))
    monkeypatch.setenv("SAGECHAIN_RUNTIME", str(tmp_path / "runtime"))
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # it would keep the credentials of an earlier test
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDMADEUP")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "made-up-secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A PostgreSQL server's address, to which a database's name is to be added."""
    with running_postgres() as url:
        yield url


@pytest.fixture
def database(postgres: str) -> str:
    """The URL of an empty PostgreSQL database."""
    name = f"test_{uuid4().hex}"
    with psycopg.connect(f"{postgres}postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return f"{postgres}{name}"


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database for threads, in both kinds: the same tests run over SQLite and PostgreSQL."""
    if request.param == "sqlite":
        return str(tmp_path / "threads.sqlite")
    url: str = request.getfixturevalue("database")
    return url


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """The embedded model's file; another process downloads it, since this one may connect to loopback only."""
    done = run("-c", "from sagechain.llms.local import pull; print(pull('smollm2'))", check=True)
    return Path(done.stdout.strip())


@pytest.fixture(scope="session")
def llm(smollm2: Path) -> LlamaCppLLM:
    """The embedded model, in this process."""
    model = load_llm(f"local:{smollm2}")
    assert isinstance(model, LlamaCppLLM)
    return model


@pytest.fixture(scope="session")
def seconds_to_stop(llm: LlamaCppLLM) -> float:
    """How long the server may continue to generate after its client has disconnected: as long as 200 of the 1,500 tokens
    that the tests request take on this machine."""
    tokens = llm.stream("Once upon a time", max_new_tokens=21)
    next(tokens)
    begun = time.monotonic()
    made = sum(1 for _ in tokens)
    return max(0.5, 200 * (time.monotonic() - begun) / made)


@pytest.fixture(scope="session")
def running_runtime(llm: LlamaCppLLM) -> Iterator[LocalRuntime]:
    """The local runtime with its two default endpoints; it shares the engine of `llm`."""
    with LocalRuntime() as runtime:
        yield runtime


@pytest.fixture
def runtime(running_runtime: LocalRuntime, monkeypatch: pytest.MonkeyPatch) -> LocalRuntime:
    """The local runtime, with boto3's own settings pointed at it."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", running_runtime.url)
    return running_runtime


@pytest.fixture
def client(runtime: LocalRuntime) -> Any:
    """A stock boto3 client, as any user of AWS would create it."""
    return boto3.client("sagemaker-runtime")


@pytest.fixture(scope="module")
def vcr_config() -> dict[str, Any]:
    """pytest-recording's settings: which parts are recorded (`recording.py`), and which of them identify a request."""
    return {
        "before_record_request": recorded_request,
        "before_record_response": recorded_response,
        "match_on": MATCHED,
        "decode_compressed_response": True,
    }


@pytest.fixture
def replayed(request: pytest.FixtureRequest, vcr: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The cassette; fails unless every recorded request, and no other, was sent exactly once."""
    recording = request.config.getoption("--record-mode") not in (None, "none")
    if recording and not request.config.getoption("--real"):
        monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", request.getfixturevalue("running_runtime").url)
    yield vcr
    if not recording:
        assert vcr.all_played
        assert vcr.play_count == len(vcr.requests)


@pytest.fixture
def same_page(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Check that a page of the guide equals the text that a test generates; with `--write-docs` write it."""

    def check(name: str, text: str) -> None:
        path = Path(__file__).parent.parent / "docs" / name
        if request.config.getoption("--write-docs"):
            path.write_text(text, encoding="utf-8")
        assert path.read_text(encoding="utf-8") == text, f"docs/{name} is old: run pytest --write-docs"

    return check


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
