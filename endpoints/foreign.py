"""What a forced deletion of an endpoint includes that sagechain did not deploy: what no other endpoint uses.

Only SageMaker's resources: data in S3 is its owner's.
"""

from collections.abc import Iterator
from typing import Any

from sagechain.llms.errors import EndpointNotFound, LLMError

from .aws import Account
from .progress import ShowProgress
from .resources import Resource


def unshared_resources(account: Account, resource: Resource, show: ShowProgress) -> list[Resource]:
    """A resource, and of an endpoint the configuration and the models that no other one uses.

    Where it cannot be found out what others use, they are kept, with a message.
    """
    if resource.kind != "endpoint":
        return [resource]
    try:
        return [resource, *_unshared(account, resource)]
    except LLMError as error:
        show(f"keeping its configuration and models, since others may use them: {error.message}")
        return [resource]


def _unshared(account: Account, endpoint: Resource) -> Iterator[Resource]:
    config = str((_describe(account, endpoint) or {}).get("EndpointConfigName", ""))
    description = _describe(account, Resource("endpoint_config", config)) if config else None
    if description is None:
        return
    for row in account.rows("list_endpoints", "Endpoints"):
        other = Resource("endpoint", row["EndpointName"])
        if other != endpoint and (_describe(account, other) or {}).get("EndpointConfigName") == config:
            return
    used: set[str] = set()
    for row in account.rows("list_endpoint_configs", "EndpointConfigs"):
        if row["EndpointConfigName"] != config:
            used |= _models(_describe(account, Resource("endpoint_config", row["EndpointConfigName"])))
    yield Resource("endpoint_config", config)
    yield from (Resource("model", model) for model in sorted(_models(description) - used))


def _describe(account: Account, resource: Resource) -> dict[str, Any] | None:
    """A description; None for a resource that is gone, perhaps since a list of it was read."""
    try:
        return account.send(resource.name, f"describe_{resource.kind}", **resource.parameters)
    except EndpointNotFound:
        return None


def _models(config: dict[str, Any] | None) -> set[str]:
    if config is None:
        return set()
    variants = [*config["ProductionVariants"], *config.get("ShadowProductionVariants", ())]
    return {variant["ModelName"] for variant in variants if "ModelName" in variant}
