"""An endpoint that Amazon's sagemaker SDK deployed, as a URI of sagechain: `sagemaker:my-falcon?region=eu-west-1`.

The SDK is never imported. Any object with a name and an ARN works, such as `sagemaker.core.resources.Endpoint`, and
`InferenceComponent`, which has the name and ARN of its endpoint.
"""

from typing import Any, Protocol
from urllib.parse import quote, urlencode

from .names import ARN


class SDKEndpoint(Protocol):
    """The attributes of an SDK endpoint (version 3) that are read. The SDK's own types allow for values not known yet."""

    @property
    def endpoint_name(self) -> Any:
        """The endpoint's name."""

    @property
    def endpoint_arn(self) -> Any:
        """The endpoint's full name in AWS, which contains its region."""


def uri_of(endpoint: SDKEndpoint) -> str:
    """The URI of an endpoint, with its region, and its component if it is one.

    Raises:
        ValueError: the object has no valid name or no valid ARN of an endpoint.
    """
    name, arn = (getattr(endpoint, field, None) for field in ("endpoint_name", "endpoint_arn"))
    if not isinstance(name, str) or not name:
        raise ValueError(
            f"model: a {type(endpoint).__name__} is neither a URI, such as 'sagemaker:ENDPOINT' or 'local:smollm2', nor an "
            "endpoint of the sagemaker SDK, which has endpoint_name and endpoint_arn"
        )
    match = ARN.fullmatch(arn) if isinstance(arn, str) else None
    if match is None:
        raise ValueError(
            f"endpoint_arn: {arn!r} of endpoint {name!r} is not the ARN of an endpoint, which contains the region; give "
            f"the result of Endpoint.get({name!r}), or 'sagemaker:{name}?region=…'"
        )
    component = getattr(endpoint, "inference_component_name", None)  # only the SDK's InferenceComponent has it
    query = {"region": match["region"], "component": component}
    return f"sagemaker:{quote(name)}?" + urlencode({key: value for key, value in query.items() if value is not None})
