"""What the tags of an endpoint say of it, as `sagechain.endpoints` writes them: so `sagemaker:NAME` needs no family.

An endpoint that somebody else deployed can be given `sagechain:family` and `sagechain:wire` by hand.
"""

from collections.abc import Mapping
from typing import Any

import boto3
from botocore.config import Config

from ..errors import LLMError
from .aws_errors import as_llm_error

TOOL_TAG = "sagechain:tool"
FAMILY_TAG = "sagechain:family"
WIRE_TAG = "sagechain:wire"

ADD_THEM = "Add ?family=…&wire=… to the model's URI, and no tags are needed."
SECONDS = 10.0  # for each of the two questions


def read_tags(client: Any, arn: str) -> dict[str, str]:
    """All tags of a resource.

    Args:
        client: boto3's client for `sagemaker`.
        arn: the resource's name in AWS.
    """
    pages = client.get_paginator("list_tags").paginate(ResourceArn=arn)
    return {tag["Key"]: tag["Value"] for page in pages for tag in page["Tags"]}


def family_and_wire(endpoint: str, session: boto3.Session) -> Mapping[str, str]:
    """`family` and `wire` of an endpoint, as far as its tags tell.

    Raises:
        LLMError: the tags cannot be read; the error says to name family and wire instead.
        ValueError: they can, and tell of neither; or no region is set.
    """
    if not session.region_name:
        raise ValueError(f"region_name: none is set; give region_name, ?region=… or AWS_DEFAULT_REGION. {ADD_THEM}")
    config = Config(
        connect_timeout=SECONDS, read_timeout=SECONDS, retries={"mode": "standard", "total_max_attempts": 3}
    )
    try:
        client = session.client("sagemaker", config=config)
        tags = read_tags(client, client.describe_endpoint(EndpointName=endpoint)["EndpointArn"])
    except Exception as error:
        found = as_llm_error(endpoint, error)
        if found is None:
            raise
        raise _told(found) from error
    known = {name: tags[key] for name, key in (("family", FAMILY_TAG), ("wire", WIRE_TAG)) if tags.get(key)}
    if not known:
        raise ValueError(
            f"family: endpoint {endpoint!r} has no tag {FAMILY_TAG} or {WIRE_TAG}, since sagechain did not deploy it. "
            f"{ADD_THEM}"
        )
    return known


def _told(error: LLMError) -> LLMError:
    """The same error, which also says how to do without tags."""
    return type(error)(
        error.endpoint, f"its tags, which tell family and wire, cannot be read: {error.message} {ADD_THEM}"
    )
