"""Start and stop the local runtime: `LocalRuntime`, in a `with` block or in the foreground (`sagechain local-aws`)."""

import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import uvicorn

from .access import Access
from .connection import Protocol
from .failures import Failures
from .gateway import Gateway, LoggedRequest, RequestLog
from .inference.containers import UpstreamContainer
from .inference.server import InferenceServer
from .s3.multipart import Uploads
from .s3.objects import Objects
from .s3.service import S3Service
from .sagemaker.control_plane import ControlPlane
from .sagemaker.models import Deployments
from .sagemaker.preconfigured import EndpointSettings, default_endpoints, endpoint_of, records_of
from .sagemaker.records import EVERY_REGION, Store

STOP_SECONDS = 2  # that requests in flight have to end when the runtime stops
BACKLOG = 512  # connections that wait to be accepted


class LocalRuntime:
    """SageMaker on this machine, with real models behind it; a context manager.

    One address (`AWS_ENDPOINT_URL`) serves boto3's clients `sagemaker-runtime`, `sagemaker`, `s3` and `sts`: models,
    endpoint configurations and endpoints can be created, listed, invoked and deleted, and model archives uploaded.

    Args:
        models: endpoint name → settings of an endpoint that is served from the start; None: a Llama 2 and a Falcon
            endpoint. The settings are `"model"`, a `local:` URI or a text model, and `"family"` and `"wire"`, of which
            the wire follows from the family if it is not given; endpoints with one URI share one engine. Or
            `"upstream"`, the URL of any real container. `"fault"` names a fault (`list_faults()`), with `"times"`
            (requests that meet it; default: all), `"frames"` (of a stream before it) and `"seconds"` (of a slow one).
        port: 0 for a free one.
        host: the address to listen on.
        folder: where deployments and uploads are stored for the next start; None: they are discarded.
        creating_seconds: how long a deployed endpoint is `Creating` at least.
        deleting_seconds: how long it is `Deleting`.
        stand_in: the model of a deployed endpoint whose model data is not in a bucket of this runtime, a `local:` URI.
        upstream: the URL of a container that answers for all deployed endpoints instead.
        failures: `"OPERATION=FAILURE"` or `"OPERATION=FAILURE:TIMES"`, as for `fail`.
        clock: seconds since the epoch; `advance` adds to it.
        allowed_hosts: names under which clients reach the runtime, beside `localhost`, `NAME.localhost`, 127.0.0.1 and
            ::1: `"host.docker.internal"` for containers.
        access_key: the id of the access key that requests must be signed with; None: they need none.
        allow_anyone: listen on an address that other machines reach without an access key.
        print_line: called with one line for each request.

    Attributes:
        url: the address, once the block is entered.

    Raises:
        ValueError: an unknown model, family, wire, setting, operation or failure, or an address that other machines
            reach, without an access key.
        OSError: on entering the block, the port is taken, or another runtime uses the folder.
    """

    def __init__(
        self,
        models: Mapping[str, EndpointSettings] | None = None,
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
        allowed_hosts: Iterable[str] = (),
        access_key: str | None = None,
        allow_anyone: bool = False,
        print_line: Callable[[str], None] | None = None,
    ) -> None:
        self._access = Access(host=host, allowed_hosts=allowed_hosts, access_key=access_key, allow_anyone=allow_anyone)
        self._print_line = print_line
        self._models = default_endpoints() if models is None else models
        self._preconfigured = {name: endpoint_of(name, settings) for name, settings in self._models.items()}
        self._host, self._port = host, port
        self._folder = None if folder is None else Path(folder).expanduser()
        self._seconds = {"creating_seconds": creating_seconds, "deleting_seconds": deleting_seconds}
        for name, seconds in self._seconds.items():
            if not seconds >= 0:
                raise ValueError(f"{name}: {seconds} is below 0")
        if not stand_in.startswith("local:"):
            raise ValueError(f"stand_in: {stand_in!r} is not a model on this machine; give one, e.g. 'local:smollm2'")
        self._stand_in = stand_in
        self._upstream = None if upstream is None else UpstreamContainer(upstream)
        self._failures = Failures.parse(failures)
        self._clock = clock
        self._seconds_ahead = 0.0
        self._open_parts = ExitStack()
        self._log = RequestLog()
        self.url = ""

    @property
    def endpoints(self) -> Sequence[str]:
        """The names of the endpoints that are in service."""
        return tuple(self._deployments.in_service())

    @property
    def requests(self) -> Sequence[LoggedRequest]:
        """The latest requests that reached the runtime, oldest first: 1,000, with 64 MiB of bodies, at most."""
        return tuple(self._log.requests)

    @property
    def generating(self) -> int:
        """The number of requests that endpoints are answering now."""
        return self._inference.generating

    def fail(self, operation: str, failure: str, times: int | None = None) -> None:
        """Let the next requests for an operation of AWS fail.

        Args:
            operation: AWS's name: `CreateEndpoint`, `PutObject`, `GetCallerIdentity` …
            failure: its name (`list_failures()`).
            times: the number of requests; None: all until `recover`. Several failures of one operation follow each
                other in the order of these calls.

        Raises:
            ValueError: an unknown operation or failure, or a failure that this operation cannot have.
        """
        self._failures.add(operation, failure, times)

    def recover(self) -> None:
        """Let nothing fail any more. Endpoints that have failed stay so."""
        self._failures.clear()

    def advance(self, seconds: float) -> None:
        """Put the runtime's clock forward: endpoints become ready, or are gone, without any waiting."""
        self._seconds_ahead += seconds

    def serve(self, started: Callable[["LocalRuntime"], None] | None = None) -> None:
        """Serve until Ctrl-C; `started` is called once the runtime listens."""
        with self._open_parts:
            self._log = RequestLog(size=0)  # not readable from outside, and they may contain people's text
            listener, server = self._listen()
            if started is not None:
                started(self)
            server.run(sockets=[listener])

    def __enter__(self) -> Self:
        try:
            listener, self._uvicorn = self._listen()
        except BaseException:
            self._open_parts.close()
            raise
        self._thread = threading.Thread(target=self._uvicorn.run, kwargs={"sockets": [listener]}, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._uvicorn.should_exit = True
        self._thread.join()
        self._open_parts.close()

    def _listen(self) -> tuple[socket.socket, uvicorn.Server]:
        """A socket that accepts connections from now on, before the server's thread runs, and the server."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        listener = socket.create_server((self._host, self._port), family=family, backlog=BACKLOG)
        # asyncio sets it only where a socket names its protocol; without it a body waits 40 ms behind its headers.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        name = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._host, self._host)
        self.url = f"http://{f'[{name}]' if ':' in name else name}:{listener.getsockname()[1]}"
        try:
            self._open()
        except BaseException:
            listener.close()
            raise
        config = uvicorn.Config(
            self._gateway,
            http=Protocol,
            ws="none",
            proxy_headers=False,
            log_level="warning",
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=STOP_SECONDS,
        )
        return listener, uvicorn.Server(config)

    def _open(self) -> None:
        """Lock the folder, and put the parts together."""
        folder = self._folder or Path(
            self._open_parts.enter_context(tempfile.TemporaryDirectory(prefix="sagechain-", ignore_cleanup_errors=True))
        )
        store = Store(folder)
        self._open_parts.callback(store.close)
        objects = Objects(folder / "buckets")
        self._deployments = Deployments(
            store,
            objects,
            folder / "model-data",
            stand_in=self._stand_in,
            upstream=self._upstream,
            clock=self._now,
        )
        self._open_parts.callback(self._deployments.close)
        for name, endpoint in self._preconfigured.items():
            if any(key[1] == name for key in store.all("endpoints")):
                raise ValueError(
                    f"endpoint {name!r}: an endpoint with that name is deployed in {folder}; give another name"
                )
            for kind, record in records_of(name, self._models[name], self._now()).items():
                store.put(kind, (EVERY_REGION, name), record)
            self._deployments.add((EVERY_REGION, name), endpoint)
        control_plane = ControlPlane(store, self._deployments, clock=self._now, **self._seconds)
        self._inference = InferenceServer(self._deployments)
        s3 = S3Service(objects, Uploads(folder / "uploads"), self._now)
        self._gateway = Gateway(
            control_plane,
            self._inference,
            s3,
            failures=self._failures,
            access=self._access,
            log=self._log,
            print_line=self._print_line,
        )

    def _now(self) -> float:
        return self._clock() + self._seconds_ahead
