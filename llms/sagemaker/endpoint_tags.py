"""The tags of an endpoint, as `sagechain.endpoints` writes them, so that `sagemaker:NAME` needs no family.

An endpoint that another tool deployed needs the tags `sagechain:family` and `sagechain:wire` added.
"""

from collections.abc import Mapping
from typing import Any

import boto3
from botocore.config import Config

from .aws_errors import as_llm_error
from .client import create_client

TOOL_TAG = "sagechain:tool"
FAMILY_TAG = "sagechain:family"
WIRE_TAG = "sagechain:wire"

ADD_TO_URI = "Add ?family=…&wire=… to the model's URI, and no tags are needed."
SECONDS = 10.0  # for each of the two requests


def read_tags(client: Any, arn: str) -> dict[str, str]:
    """All tags of a resource.

    Args:
        client: boto3's client for `sagemaker`.
        arn: the resource's name in AWS.
    """
    pages = client.get_paginator("list_tags").paginate(ResourceArn=arn)
    return {tag["Key"]: tag["Value"] for page in pages for tag in page["Tags"]}


def family_and_wire(endpoint: str, session: boto3.Session, region: str | None) -> Mapping[str, str]:
    """`family` and `wire` of an endpoint, as far as its tags have them.

    Raises:
        LLMError: the tags cannot be read; the message advises to name family and wire instead.
        ValueError: no tag has either of them, or no region is set.
    """
    config = Config(
        connect_timeout=SECONDS, read_timeout=SECONDS, retries={"mode": "standard", "total_max_attempts": 3}
    )
    try:
        client = create_client("sagemaker", session, region, config=config)
    except ValueError as error:
        raise ValueError(f"{error}. {ADD_TO_URI}") from error
    try:
        tags = read_tags(client, client.describe_endpoint(EndpointName=endpoint)["EndpointArn"])
    except Exception as error:
        mapped = as_llm_error(endpoint, error, address=client.meta.endpoint_url)
        if mapped is None:
            raise
        message = f"its tags, which name family and wire, cannot be read: {mapped.message} {ADD_TO_URI}"
        raise mapped.reworded(message) from error
    known = {name: tags[key] for name, key in (("family", FAMILY_TAG), ("wire", WIRE_TAG)) if tags.get(key)}
    if not known:
        raise ValueError(
            f"family: endpoint {endpoint!r} has no tag {FAMILY_TAG} or {WIRE_TAG}, since sagechain did not deploy it. "
            f"{ADD_TO_URI}"
        )
    return known
