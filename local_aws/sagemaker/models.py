"""What stands behind the endpoints of the local runtime: for each a container, made when it is deployed or first asked.

A model whose data lies in a bucket of this runtime is unpacked and loaded while its endpoint is `Creating`; if that fails,
the endpoint does. Any other model (JumpStart's own data is not here) has a stand-in, loaded when it is first asked. The
wire is the endpoint's tag `sagechain:wire`, or else what `images.yaml` knows of the model's image.
"""

import asyncio
import shutil
import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sagechain.endpoints.jumpstart import wire_of_image
from sagechain.llms import load_llm
from sagechain.llms.errors import LLMError
from sagechain.llms.sagemaker import WIRE_TAG
from sagechain.llms.wires import get_wire, list_wires

from ..inference.containers import CONTAINERS, Container
from ..s3.objects import Objects
from .model_data import CannotServe, data_url, unpacked
from .records import Record, Store

LOADING = 4  # models at a time


class Deployments:
    """The containers of deployed endpoints.

    Args:
        store: the endpoints' records; an endpoint's `outcome`, and the folder with its model `data`, are written there.
        objects: the buckets.
        folder: model data is unpacked below it.
        stand_in: the model of those whose data is not here, a `local:` URI.
        upstream: a container that answers for all of them instead.
    """

    def __init__(
        self, store: Store, objects: Objects, folder: Path, *, stand_in: str, upstream: Container | None
    ) -> None:
        self._store, self._objects, self._folder = store, objects, folder
        self._stand_in, self._upstream = stand_in, upstream
        self._workers = ThreadPoolExecutor(LOADING, thread_name_prefix="deploying")
        self._containers: dict[str, Future[Container]] = {}
        self._unpacking = threading.Lock()
        self._closed = False
        folder.mkdir(exist_ok=True)
        self._remove_unused_data()
        for endpoint in store.all("endpoints").values():
            self.begin(endpoint)

    def close(self) -> None:
        """Begin nothing more; what has been begun is not written down, and begins anew at the next start."""
        self._closed = True
        self._workers.shutdown(wait=False, cancel_futures=True)

    def add(self, name: str, container: Container) -> None:
        """Put a container that is there behind an endpoint."""
        self._containers[name] = Future()
        self._containers[name].set_result(container)

    def begin(self, endpoint: Record) -> None:
        """Make what an endpoint needs before it can be in service, unless its outcome is known."""
        name = endpoint["EndpointName"]
        if endpoint["outcome"] is not None:
            return
        if self._upstream or data_url(_container(endpoint), self._objects) is None:
            self._settle(name, "" if self._upstream else _obstacle(endpoint))  # nothing to wait for
            return
        self._containers[name] = self._workers.submit(self._made, endpoint)
        self._containers[name].add_done_callback(lambda made: self._end(name, made))

    async def container(self, endpoint: Record) -> Container:
        """The container of an endpoint that is in service, made if it has not been.

        Raises:
            CannotServe: it cannot be made.
        """
        name = endpoint["EndpointName"]
        if name not in self._containers:
            self._containers[name] = self._workers.submit(self._made, endpoint)
        try:
            return await asyncio.shield(asyncio.wrap_future(self._containers[name]))
        except CannotServe:
            self._containers.pop(name, None)  # the next request tries again
            raise

    def forget(self, endpoint: Record) -> None:
        """Let go of a container, and of its model data if no other endpoint has it."""
        self._containers.pop(endpoint["EndpointName"], None)
        if "data" in endpoint:
            self._workers.submit(self._remove_unused_data)

    def _end(self, name: str, made: Future[Container]) -> None:
        if self._closed or made.cancelled():
            return
        error = made.exception()
        reason = str(error) if isinstance(error, CannotServe) else repr(error)
        self._settle(name, "" if error is None else reason)

    def _settle(self, name: str, obstacle: str) -> None:
        self._store.change("endpoints", name, outcome=obstacle)

    def _made(self, endpoint: Record) -> Container:
        if self._upstream:
            return self._upstream
        wire = wire_of(endpoint)
        data = self._data(endpoint)
        uri = self._stand_in if data is None else f"local:{quote(str(data))}"
        try:
            return CONTAINERS[wire](load_llm(uri))
        except (LLMError, ValueError) as error:
            variant = endpoint["Variants"][0]["VariantName"]
            raise CannotServe(
                f"The primary container for production variant {variant} did not pass the ping health check. "
                f"Please check CloudWatch logs for this endpoint. ({error})"
            ) from error

    def _data(self, endpoint: Record) -> Path | None:
        """The folder with an endpoint's own model data, if it has any."""
        if "data" in endpoint:
            return self._folder / str(endpoint["data"])
        url = data_url(_container(endpoint), self._objects)
        if url is None:
            return None
        with self._unpacking:
            folder = unpacked(url, self._objects, self._folder)
            self._store.change("endpoints", endpoint["EndpointName"], data=folder.name)
        return folder

    def _remove_unused_data(self) -> None:
        with self._unpacking:
            used = {endpoint.get("data") for endpoint in self._store.all("endpoints").values()}
            for folder in self._folder.iterdir():
                if folder.name not in used:
                    shutil.rmtree(folder)


def wire_of(endpoint: Record) -> str:
    """The wire of a deployed endpoint.

    Raises:
        CannotServe: neither tag nor image tells.
    """
    for tag in endpoint["Tags"]:
        if tag["Key"] == WIRE_TAG:
            try:
                return get_wire(tag["Value"]).name
            except ValueError as error:
                raise CannotServe(f"The endpoint's tag {WIRE_TAG} is wrong: {error}") from error
    container = _container(endpoint)
    image = container.get("Image", "")
    wire = wire_of_image(image, container.get("Environment", {}))
    if wire is None:
        raise CannotServe(
            f"The local runtime does not know which wire the image {image!r} speaks. Create the endpoint with the tag "
            f"{WIRE_TAG}, whose value is one of: {', '.join(list_wires())}"
        )
    return wire


def _obstacle(endpoint: Record) -> str:
    """Why an endpoint cannot be served, as far as can be told before its model is loaded."""
    try:
        wire_of(endpoint)
    except CannotServe as error:
        return str(error)
    return ""


def _container(endpoint: Record) -> Mapping[str, Any]:
    """The model of an endpoint's first variant, as CreateModel got it."""
    container: Mapping[str, Any] = endpoint["Variants"][0]["Container"]
    return container
