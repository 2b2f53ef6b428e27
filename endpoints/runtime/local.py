"""Run the local SageMaker runtime: in a `with` block (`LocalRuntime`), or in the foreground (`serve`)."""

import socket
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from types import TracebackType
from typing import Any, Self

import uvicorn
import yaml
from sagechain.endpoints.runtime.containers import CONTAINERS, Container, UpstreamContainer
from sagechain.endpoints.runtime.faults import FaultPlan, faults
from sagechain.endpoints.runtime.server import Endpoint, LoggedRequest, Protocol, RuntimeServer
from sagechain.llms.load import load_llm
from sagechain.llms.wires import DEFAULT_WIRES, get_wire
from sagechain.prompts import get_family
from sagechain.prompts.names import unknown

STOP_SECONDS = 2  # how long requests in flight may take to end when the runtime stops

FAULT_SETTINGS = ("fault", "times", "frames", "seconds")
SETTINGS = ("model", "upstream", "family", "wire", *FAULT_SETTINGS)

Endpoints = Mapping[str, Mapping[str, Any]]


@cache
def default_endpoints() -> dict[str, dict[str, str]]:
    """The endpoints that are served when none are named."""
    text = (files("sagechain.endpoints.runtime") / "endpoints.yaml").read_text(encoding="utf-8")
    endpoints: dict[str, dict[str, str]] = yaml.safe_load(text)
    return endpoints


class LocalRuntime:
    """SageMaker's runtime on this machine, with real models behind it; a context manager.

    Args:
        models: endpoint name → `{"model": uri, "family": …, "wire": …}`. `model` is a `local:` URI; `wire` follows from
            `family` if not given. Endpoints with one model share one engine. `{"upstream": url}` instead of a model puts
            any real container behind the endpoint. `"fault"` names a fault that it shows (`list_faults()`), with
            `"times"` (requests; all if not given), `"frames"` (of a stream before it) and `"seconds"` (of a slow one).
        port: 0 takes a free one.
        host: the address to listen on.

    Attributes:
        url: where it listens, once entered.

    Raises:
        ValueError: no endpoint, or a model, family, wire or setting that is unknown.
        OSError: the port is taken.
    """

    def __init__(self, models: Endpoints | None = None, port: int = 0, host: str = "127.0.0.1") -> None:
        self._server = RuntimeServer(_endpoints(default_endpoints() if models is None else models))
        self._host, self._port = host, port
        self.url = ""

    @property
    def endpoints(self) -> Sequence[str]:
        """The names of the endpoints."""
        return tuple(self._server.endpoints)

    @property
    def requests(self) -> Sequence[LoggedRequest]:
        """The latest requests that reached the runtime, oldest first."""
        return tuple(self._server.requests)

    @property
    def generating(self) -> int:
        """Requests that are being answered now."""
        return self._server.generating

    def serve(self, started: Any = None) -> None:
        """Listen until Ctrl-C; `started` is called with the runtime once it does."""
        listener, uvicorn_server = self._listening()
        self._server.requests = deque(maxlen=0)  # nobody reads them here, and they may hold what people wrote
        if started is not None:
            started(self)
        uvicorn_server.run(sockets=[listener])

    def __enter__(self) -> Self:
        listener, self._uvicorn = self._listening()
        self._thread = threading.Thread(target=self._uvicorn.run, kwargs={"sockets": [listener]}, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._uvicorn.should_exit = True
        self._thread.join()

    def _listening(self) -> tuple[socket.socket, uvicorn.Server]:
        """A socket that takes connections from now on, so nobody has to wait for the server's thread."""
        listener = socket.create_server((self._host, self._port), backlog=512)
        self.url = f"http://{self._host}:{listener.getsockname()[1]}"
        config = uvicorn.Config(
            self._server.app,
            http=Protocol,
            log_level="warning",
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=STOP_SECONDS,
        )
        return listener, uvicorn.Server(config)


def list_faults() -> list[str]:
    """The faults that an endpoint of the local runtime can show, in the order in which `faults.yaml` tells of them."""
    return list(faults())


def _endpoints(models: Endpoints) -> dict[str, Endpoint]:
    if not models:
        raise ValueError("models: no endpoint is given; give at least one")
    return {name: _endpoint(name, settings) for name, settings in models.items()}


def _endpoint(name: str, settings: Mapping[str, Any]) -> Endpoint:
    for setting in settings:
        if setting not in SETTINGS:
            raise unknown(f"endpoint {name!r}", setting, SETTINGS)
    plan = None
    if "fault" in settings:
        plan = FaultPlan(**{field: settings[field] for field in FAULT_SETTINGS if field in settings})
    elif extra := [field for field in FAULT_SETTINGS if field in settings]:
        raise ValueError(f"endpoint {name!r}: {extra[0]} is given, but no fault")
    return Endpoint(name, _container(name, settings), plan)


def _container(name: str, settings: Mapping[str, Any]) -> Container:
    if "upstream" in settings:
        if "model" in settings:
            raise ValueError(f"endpoint {name!r}: it has a model and an upstream; give one of them")
        return UpstreamContainer(settings["upstream"])
    if "model" not in settings:
        raise ValueError(f"endpoint {name!r}: it has no model; give one, for example 'local:smollm2'")
    family, wire = settings.get("family"), settings.get("wire")
    if family is not None:
        get_family(family)
    wire = wire or DEFAULT_WIRES.get(family or "")
    if wire is None:
        raise ValueError(f"endpoint {name!r}: no wire is given, and no family that has a usual one")
    return CONTAINERS[get_wire(wire).name](load_llm(settings["model"]))
