"""A request to SageMaker's control plane: JSON in, JSON out, the operation in the header `X-Amz-Target`."""

import json
from typing import Any
from uuid import uuid4

import anyio.to_thread
from starlette.responses import Response

from ..account import sagemaker_arn
from ..errors import AwsError
from ..failures import Failure
from ..requests import AwsRequest
from .control_plane import CONFIG, ENDPOINT, MODEL, ControlPlane
from .validation import service_model


class ControlPlaneRequest(AwsRequest):
    """A request for an operation."""

    def __init__(self, control_plane: ControlPlane, operation: str, body: bytes, region: str) -> None:
        self._control_plane, self.operation, self.body, self._region = control_plane, operation, body, region

    def resource(self) -> str:
        """The ARN that the request names, or of the resource that it names."""
        try:
            parameters = self._parameters()
        except AwsError:
            return "*"
        if not isinstance(parameters, dict):
            return "*"
        if "ResourceArn" in parameters:
            return str(parameters["ResourceArn"])
        for kind in (ENDPOINT, MODEL, CONFIG):  # CreateEndpoint names its configuration too
            if name := parameters.get(f"{kind.member}Name"):
                return sagemaker_arn(kind.arn, str(name), self._region)
        return "*"

    async def response(self, failure: Failure) -> Response:
        """Carry out the operation."""
        await anyio.to_thread.run_sync(service_model)  # a quarter of a second, the first time
        return _json_response(self._control_plane.carry_out(self.operation, self._parameters(), self._region, failure))

    def error_response(self, error: AwsError) -> Response:
        """The error in JSON."""
        return _json_response({"__type": error.code, "message": error.message}, error.status)

    def _parameters(self) -> Any:
        try:
            return json.loads(self.body or b"{}")
        except ValueError as error:
            raise AwsError("SerializationException", f"the body is not JSON: {error}") from error


def _json_response(value: object, status: int = 200) -> Response:
    return Response(json.dumps(value), status, {"x-amzn-RequestId": str(uuid4())}, "application/x-amz-json-1.1")
