"""A request to SageMaker's control plane: JSON in, JSON out, the operation in the header `X-Amz-Target`."""

import json
from typing import Any

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response

from ..account import sagemaker_arn
from ..errors import AwsError
from ..failures import Failure
from ..requests import AwsRequest
from .control_plane import CONFIG, ENDPOINT, MODEL, ControlPlane
from .validation import service_model

TARGET_PREFIX = "SageMaker."
MAX_BODY_BYTES = 4 * 1024**2


class ControlPlaneRequest(AwsRequest):
    """A request for an operation."""

    max_body_bytes = MAX_BODY_BYTES
    refuses_forms = True

    def __init__(self, control_plane: ControlPlane, http: Request, region: str) -> None:
        super().__init__(http, region)
        self._control_plane = control_plane
        self.operation = http.headers["X-Amz-Target"].removeprefix(TARGET_PREFIX)

    def resource(self) -> str:
        """The ARN that the request names, or of the resource that it names."""
        try:
            parameters = self._parameters()
        except (AwsError, RecursionError):
            return "*"
        if not isinstance(parameters, dict):
            return "*"
        if "ResourceArn" in parameters:
            return str(parameters["ResourceArn"])
        for kind in (ENDPOINT, MODEL, CONFIG):  # CreateEndpoint names its configuration too
            if name := parameters.get(f"{kind.member}Name"):
                return sagemaker_arn(kind.arn, str(name), self.region)
        return "*"

    async def response(self, failure: Failure) -> Response:
        """Carry out the operation."""
        await anyio.to_thread.run_sync(service_model)  # a quarter of a second, the first time
        return _json_response(self._control_plane.carry_out(self.operation, self._parameters(), self.region, failure))

    def error_response(self, error: AwsError) -> Response:
        """The error in JSON."""
        return _json_response({"__type": error.code, "message": error.message}, error.status)

    def _parameters(self) -> Any:
        try:
            return json.loads(self.body or b"{}")
        except ValueError as error:
            raise AwsError("SerializationException", f"the body is not JSON: {error}") from error


def _json_response(value: object, status: int = 200) -> Response:
    return Response(json.dumps(value), status, media_type="application/x-amz-json-1.1")
