"""The containers behind the endpoints: each is created when its endpoint is deployed, or by the first request.

A model whose data is in a bucket of this runtime is unpacked and loaded while its endpoint is `Creating`; if that fails,
the endpoint fails. For any other model (JumpStart's own data is not available here) the first request loads a stand-in. The
wire is the endpoint's tag `sagechain:wire`, or else that of the model's image.
"""

import asyncio
import shutil
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sagechain.endpoints.jumpstart import wire_of_image
from sagechain.llms import load_llm
from sagechain.llms.errors import LLMError
from sagechain.llms.sagemaker import WIRE_TAG
from sagechain.llms.wires import get_wire, list_wires

from ..inference.containers import CONTAINERS, Container
from ..inference.faults import FaultPlan
from ..s3.objects import Objects
from .endpoint_states import current, status_of
from .model_data import CannotServe, bucket_url, unpack
from .records import Key, Record, Store

LOADING_THREADS = 4  # models that are loaded at the same time


@dataclass(frozen=True)
class Endpoint:
    """A container, and the fault that it shows, if any."""

    container: Container
    fault_plan: FaultPlan | None = None

    def next_fault(self) -> Mapping[str, Any]:
        """The description of the fault that the next request meets; empty if none."""
        return {} if self.fault_plan is None else self.fault_plan.next_fault()


class Deployments:
    """The endpoints of the records, with their containers.

    Args:
        store: the records. An endpoint's `outcome`, and the folder with its model `data`, are written there.
        objects: the buckets.
        folder: model data is unpacked below it.
        stand_in: the model of an endpoint whose data is not in a bucket of this runtime, a `local:` URI.
        upstream: a container that answers for all of them instead.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        store: Store,
        objects: Objects,
        folder: Path,
        *,
        stand_in: str,
        upstream: Container | None,
        clock: Callable[[], float],
    ) -> None:
        self._store, self._objects, self._folder, self._clock = store, objects, folder, clock
        self._stand_in, self._upstream = stand_in, upstream
        self._workers = ThreadPoolExecutor(LOADING_THREADS, thread_name_prefix="deploying")
        self._endpoints: dict[tuple[Key, str], Future[Endpoint]] = {}  # by the name of their configuration too
        self._unpacking = threading.Lock()
        self._closed = False
        folder.mkdir(exist_ok=True)
        self._remove_unused_data()
        for key, record in store.all("endpoints").items():
            self.start(key)
            if (record.get("update") or {"outcome": ""})["outcome"] is None:
                self.update(key)

    def close(self) -> None:
        """Start nothing more. What is unfinished starts again when the folder is next opened."""
        self._closed = True
        self._workers.shutdown(wait=False, cancel_futures=True)

    def add(self, key: Key, endpoint: Endpoint) -> None:
        """Put an endpoint that exists already under a key."""
        created: Future[Endpoint] = Future()
        created.set_result(endpoint)
        self._endpoints[key, self.record(key)["EndpointConfigName"]] = created

    def start(self, key: Key) -> None:
        """Create what an endpoint needs before it can be in service, unless its outcome is known."""
        record = self._store.get("endpoints", key)
        if record["outcome"] is None:
            self._prepare(key, record, lambda problem: self._store.change("endpoints", key, outcome=problem))

    def update(self, key: Key) -> None:
        """Create what an endpoint's update needs; until then, and if that fails, it answers as before."""
        before = self._store.get("endpoints", key)
        update, data = before["update"], before.get("data")

        def finish(problem: str) -> None:
            kept = {"data": data} if problem else {}
            self._store.change("endpoints", key, update={**update, "outcome": problem}, **kept)

        after = {**before, **update["changes"], "data": None}
        if _container(after) == _container(before):
            finish("")
        else:
            self._prepare(key, after, finish)

    def _prepare(self, key: Key, record: Record, finish: Callable[[str], None]) -> None:
        """Create an endpoint, and call `finish` with what kept it from serving, or ""."""
        if self._upstream or bucket_url(_container(record), self._objects) is None:
            self._endpoints.pop((key, record["EndpointConfigName"]), None)  # the first request creates it
            finish("" if self._upstream else _wire_problem(record))
            return
        creation = self._workers.submit(self._create, key, record)
        self._endpoints[key, record["EndpointConfigName"]] = creation

        def created(creation: Future[Endpoint]) -> None:
            if self._closed or creation.cancelled():
                return
            error = creation.exception()
            finish("" if error is None else str(error) if isinstance(error, CannotServe) else repr(error))

        creation.add_done_callback(created)

    def in_service(self, region: str | None = None) -> dict[str, Key]:
        """The endpoints that answer, in a region or in all, by name."""
        now, answering = self._clock(), ("InService", "Updating")
        endpoints = self._store.all("endpoints", region)
        return {key[1]: key for key, one in endpoints.items() if status_of(one, now) in answering}

    def record(self, key: Key) -> Record:
        """An endpoint's record as it is now."""
        return current(self._store.get("endpoints", key), self._clock())

    def has_model(self, container: Mapping[str, Any], name: str) -> bool:
        """Whether a container's model data has an archive of this name; true where it is in no bucket here."""
        url = bucket_url(container, self._objects)
        if url is None:
            return True
        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        return self._objects.find(bucket, prefix + name) is not None

    async def endpoint(self, key: Key) -> Endpoint:
        """An endpoint that is in service; its container is created if it has not been.

        Raises:
            CannotServe: it cannot be created.
        """
        record = self.record(key)
        version = (key, record["EndpointConfigName"])
        if version not in self._endpoints:
            self._endpoints[version] = self._workers.submit(self._create, key, record)
        try:
            return await asyncio.shield(asyncio.wrap_future(self._endpoints[version]))
        except CannotServe:
            self._endpoints.pop(version, None)  # the next request tries again
            raise

    def remove(self, key: Key, record: Record) -> None:
        """Drop an endpoint, and its model data if no other endpoint uses it."""
        for version in [version for version in self._endpoints if version[0] == key]:
            self._endpoints.pop(version, None)
        if record.get("data"):
            self._workers.submit(self._remove_unused_data)

    def _create(self, key: Key, record: Record) -> Endpoint:
        if self._upstream:
            return Endpoint(self._upstream)
        wire = wire_of(record)
        data = self._data(key, record)
        uri = self._stand_in if data is None else f"local:{quote(str(data))}"
        try:
            return Endpoint(CONTAINERS[wire](load_llm(uri)))
        except (LLMError, ValueError) as error:
            variant = record["Variants"][0]["VariantName"]
            raise CannotServe(
                f"The primary container for production variant {variant} did not pass the ping health check. "
                f"Please check CloudWatch logs for this endpoint. ({error})"
            ) from error

    def _data(self, key: Key, record: Record) -> Path | None:
        """The folder with an endpoint's own model data, if it has any."""
        if record.get("data"):
            return self._folder / str(record["data"])
        url = bucket_url(_container(record), self._objects)
        if url is None:
            return None
        with self._unpacking:
            folder = unpack(url, self._objects, self._folder)
            self._store.change("endpoints", key, data=folder.name)
        return folder

    def _remove_unused_data(self) -> None:
        with self._unpacking:
            used = {record.get("data") for record in self._store.all("endpoints").values()}
            for folder in self._folder.iterdir():
                if folder.name not in used:
                    shutil.rmtree(folder)


def wire_of(record: Record) -> str:
    """The wire of a deployed endpoint.

    Raises:
        CannotServe: neither its tags nor its image determine it.
    """
    for tag in record["Tags"]:
        if tag["Key"] == WIRE_TAG:
            try:
                return get_wire(tag["Value"]).name
            except ValueError as error:
                raise CannotServe(f"The endpoint's tag {WIRE_TAG} is wrong: {error}") from error
    container = _container(record)
    image = container.get("Image", "")
    wire = wire_of_image(image, container.get("Environment", {}))
    if wire is None:
        raise CannotServe(
            f"The local runtime does not know which wire the image {image!r} speaks. Create the endpoint with the tag "
            f"{WIRE_TAG}, whose value is one of: {', '.join(list_wires())}"
        )
    return wire


def _wire_problem(record: Record) -> str:
    """Why an endpoint has no wire; empty if it has one."""
    try:
        wire_of(record)
    except CannotServe as error:
        return str(error)
    return ""


def _container(record: Record) -> Mapping[str, Any]:
    """The container of an endpoint's first variant, as CreateModel describes it."""
    container: Mapping[str, Any] = record["Variants"][0]["Container"]
    return container
