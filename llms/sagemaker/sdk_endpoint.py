"""An endpoint that Amazon's sagemaker SDK deployed, as a URI of ours: `sagemaker:my-falcon?region=eu-west-1`.

The SDK is never imported: what counts is that the object has a name and an ARN, as `sagemaker.core.resources.Endpoint` has,
and `InferenceComponent` of the endpoint that it is on.
"""

import re
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import quote, urlencode

ARN = re.compile(r"arn:[a-z-]+:sagemaker:(?P<region>[a-z0-9-]+):\d{12}:endpoint/[^/]+", re.IGNORECASE)


class SDKEndpoint(Protocol):
    """What is asked of an endpoint of the SDK (version 3). Its own types also allow for values not known yet."""

    @property
    def endpoint_name(self) -> Any:
        """The endpoint's name."""

    @property
    def endpoint_arn(self) -> Any:
        """The endpoint's name in all of AWS, which tells its region."""


def uri_of(endpoint: SDKEndpoint, settings: Mapping[str, Any]) -> str:
    """The URI of an endpoint, with its region and the settings that are not None.

    Raises:
        ValueError: it has no name or no ARN, or they are not an endpoint's.
    """
    name, arn = (getattr(endpoint, field, None) for field in ("endpoint_name", "endpoint_arn"))
    if not isinstance(name, str) or not name:
        raise ValueError(
            f"model: a {type(endpoint).__name__} is neither a URI, such as 'sagemaker:ENDPOINT' or 'local:smollm2', nor an "
            "endpoint of the sagemaker SDK, which has endpoint_name and endpoint_arn"
        )
    found = ARN.fullmatch(arn) if isinstance(arn, str) else None
    if found is None:
        raise ValueError(
            f"endpoint_arn: {arn!r} of endpoint {name!r} is no endpoint's ARN, which tells the region; give what "
            f"Endpoint.get({name!r}) returns, or 'sagemaker:{name}?region=…'"
        )
    component = getattr(endpoint, "inference_component_name", None)  # of the SDK's InferenceComponent
    given = {"region": found["region"], "component": component, **settings}
    return f"sagemaker:{quote(name)}?" + urlencode({key: value for key, value in given.items() if value is not None})
