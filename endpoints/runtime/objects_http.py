"""S3's HTTP, path style. (Being built.)"""

from sagechain.endpoints.runtime.control_faults import Failure
from sagechain.endpoints.runtime.objects import Objects
from starlette.requests import Request
from starlette.responses import Response


class ObjectsService:
    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def call(self, request: Request):  # type: ignore[no-untyped-def]
        from sagechain.endpoints.runtime.gateway import Call

        async def carry_out(failure: Failure) -> Response:
            return Response("not yet", 501)

        return Call("", "*", b"", carry_out, lambda refused: Response(refused.code, refused.status))
