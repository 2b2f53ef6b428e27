"""Run the local SageMaker runtime: in a `with` block (`LocalRuntime`), or in the foreground (`serve`)."""

import socket
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import uvicorn

from .gateway import Gateway, LoggedRequest
from .inference.containers import UpstreamContainer
from .inference.server import Endpoint, Protocol, RuntimeServer
from .s3.http import ObjectsService
from .s3.multipart import Uploads
from .s3.objects import Objects
from .sagemaker.control_plane import ControlPlane
from .sagemaker.failures import asked_for
from .sagemaker.models import Deployments
from .sagemaker.preconfigured import Endpoints, default_endpoints, standing_endpoints, standing_records
from .sagemaker.records import Store

STOP_SECONDS = 2  # how long requests in flight may take to end when the runtime stops


class LocalRuntime:
    """SageMaker on this machine, with real models behind it; a context manager.

    It answers what boto3's clients `sagemaker-runtime`, `sagemaker`, `s3` and `sts` ask for a deployment, at one address
    (`AWS_ENDPOINT_URL`): models, endpoint configurations and endpoints can be created, listed, asked and deleted.

    Args:
        models: endpoint name → `{"model": uri, "family": …, "wire": …}`, served from the start. `model` is a `local:` URI,
            or a text model that is there already; `wire` follows from `family` if not given. Endpoints with one model
            share one engine. `{"upstream": url}`
            instead of a model puts any real container behind the endpoint. `"fault"` names a fault that it shows
            (`list_faults()`), with `"times"` (requests; all if not given), `"frames"` (of a stream before it) and
            `"seconds"` (of a slow one). None: a Llama 2 and a Falcon endpoint.
        port: 0 takes a free one.
        host: the address to listen on.
        folder: where what is deployed and uploaded is kept from one run to the next; None: nowhere.
        creating_seconds: how long a deployed endpoint is `Creating` at least.
        deleting_seconds: how long it is `Deleting`.
        stand_in: the model behind a deployed endpoint whose model data is in no bucket of this runtime.
        upstream: the address of a container that answers for all deployed endpoints instead.
        failures: `"OPERATION=FAILURE"` or `"OPERATION=FAILURE:TIMES"`, as for `fail`.
        clock: seconds since the epoch; `advance` adds to it.

    Attributes:
        url: where it listens, once entered.

    Raises:
        ValueError: a model, family, wire, setting, operation or failure that is unknown.
        OSError: the port is taken, or another runtime holds the folder; once entered.
    """

    def __init__(
        self,
        models: Endpoints | None = None,
        port: int = 0,
        host: str = "127.0.0.1",
        *,
        folder: str | Path | None = None,
        creating_seconds: float = 0.2,
        deleting_seconds: float = 0.2,
        stand_in: str = "local:smollm2",
        upstream: str | None = None,
        failures: Iterable[str] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._models = default_endpoints() if models is None else models
        self._standing = standing_endpoints(self._models)
        self._host, self._port = host, port
        self._folder = None if folder is None else Path(folder).expanduser()
        self._seconds = {"creating_seconds": creating_seconds, "deleting_seconds": deleting_seconds}
        for name, seconds in self._seconds.items():
            if not seconds >= 0:
                raise ValueError(f"{name}: {seconds} is below 0")
        if not stand_in.startswith("local:"):
            raise ValueError(f"stand_in: {stand_in!r} is no model on this machine; give one, e.g. 'local:smollm2'")
        self._stand_in = stand_in
        self._upstream = None if upstream is None else UpstreamContainer(upstream)
        self._failures = asked_for(failures)
        self._clock = clock
        self._seconds_ahead = 0.0
        self._running = ExitStack()
        self.url = ""

    @property
    def endpoints(self) -> Sequence[str]:
        """The names of the endpoints that are in service, once entered."""
        return tuple(self._control_plane.in_service())

    @property
    def requests(self) -> Sequence[LoggedRequest]:
        """The latest requests that reached the runtime, oldest first."""
        return tuple(self._gateway.requests)

    @property
    def generating(self) -> int:
        """Requests that are being answered now."""
        return self._server.generating

    def fail(self, operation: str, failure: str, times: int | None = None) -> None:
        """Let the next requests for an operation of AWS fail.

        Args:
            operation: AWS's name: `CreateEndpoint`, `PutObject`, `GetCallerIdentity` …
            failure: its name (`list_failures()`).
            times: how many requests; None: all from now on, until `recover`. Failures of one operation come one after
                the other, in the order in which they were asked for.

        Raises:
            ValueError: an operation or a failure that is unknown, or one that this operation cannot have.
        """
        self._failures.add(operation, failure, times)

    def recover(self) -> None:
        """Let nothing fail any more. What has become of endpoints stays so."""
        self._failures.clear()

    def advance(self, seconds: float) -> None:
        """Put the runtime's clock forward, so that endpoints become ready, or are gone, without anybody waiting."""
        self._seconds_ahead += seconds

    def _now(self) -> float:
        return self._clock() + self._seconds_ahead

    def serve(self, started: Any = None) -> None:
        """Listen until Ctrl-C; `started` is called with the runtime once it does."""
        with self._running:
            listener, uvicorn_server = self._listening()
            self._gateway.requests = deque(maxlen=0)  # nobody reads them here, and they may hold what people wrote
            if started is not None:
                started(self)
            uvicorn_server.run(sockets=[listener])

    def __enter__(self) -> Self:
        try:
            listener, self._uvicorn = self._listening()
        except BaseException:
            self._running.close()
            raise
        self._thread = threading.Thread(target=self._uvicorn.run, kwargs={"sockets": [listener]}, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._uvicorn.should_exit = True
        self._thread.join()
        self._running.close()

    def _listening(self) -> tuple[socket.socket, uvicorn.Server]:
        """A socket that takes connections from now on, so nobody has to wait for the server's thread."""
        listener = socket.create_server((self._host, self._port), backlog=512)
        # asyncio sets it only where a socket names its protocol; without it a body waits 40 ms behind its headers.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        self.url = f"http://{self._host}:{listener.getsockname()[1]}"
        try:
            self._open()
        except BaseException:
            listener.close()
            raise
        config = uvicorn.Config(
            self._gateway,
            http=Protocol,
            log_level="warning",
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=STOP_SECONDS,
        )
        return listener, uvicorn.Server(config)

    def _open(self) -> None:
        """Take the folder, and put the parts together."""
        folder = self._folder or Path(
            self._running.enter_context(tempfile.TemporaryDirectory(prefix="sagechain-", ignore_cleanup_errors=True))
        )
        self._store = Store(folder)
        self._running.callback(self._store.close)
        objects = Objects(folder / "buckets")
        self._deployments = Deployments(
            self._store, objects, folder / "model-data", stand_in=self._stand_in, upstream=self._upstream
        )
        self._running.callback(self._deployments.close)
        for name, endpoint in self._standing.items():
            if self._store.find("endpoints", name):
                raise ValueError(f"endpoint {name!r}: one of that name is deployed in {folder}; give another name")
            for kind, record in standing_records(name, self._models[name], self._now()).items():
                self._store.put(kind, name, record, written=False)
            self._deployments.add(name, endpoint.container)
        self._control_plane = ControlPlane(self._store, self._deployments, clock=self._now, **self._seconds)
        self._server = RuntimeServer(self._control_plane.in_service, self._endpoint)
        service = ObjectsService(objects, Uploads(folder / "uploads"))
        self._gateway = Gateway(self._control_plane, self._server, service, self._failures)

    async def _endpoint(self, name: str) -> Endpoint:
        record = self._store.all("endpoints")[name]
        container = await self._deployments.container(record)
        standing = self._standing.get(name)
        return standing if standing and standing.container is container else Endpoint(name, container)
