"""The endpoints that the local runtime serves from the start: checked, and shown to AWS's clients as if deployed.

They end with the runtime, and are not among what sagechain deployed: no tag `sagechain:tool` is on them.
"""

from collections.abc import Mapping
from typing import Any

from sagechain.llms import TextModel, load_llm
from sagechain.llms.wires import DEFAULT_WIRES, get_wire
from sagechain.prompts import get_family, read_yaml, unknown_name

from ..account import ACCOUNT, sagemaker_arn
from ..inference.containers import CONTAINERS, Container, UpstreamContainer
from ..inference.faults import FaultPlan
from ..inference.server import Endpoint
from .records import Record

REGION = "us-east-1"
INSTANCE_TYPE = "ml.m5.large"  # of a configuration there has to be one; nothing runs on it

FAULT_SETTINGS = ("fault", "times", "frames", "seconds")
SETTINGS = ("model", "upstream", "family", "wire", *FAULT_SETTINGS)

Endpoints = Mapping[str, Mapping[str, Any]]


def default_endpoints() -> dict[str, dict[str, str]]:
    """The endpoints that are served when none are named."""
    endpoints: dict[str, dict[str, str]] = read_yaml(__package__, "endpoints.yaml")
    return endpoints


def standing_endpoints(models: Endpoints) -> dict[str, Endpoint]:
    """The endpoints with their containers.

    Raises:
        ValueError: a model, family, wire or setting that is unknown.
    """
    return {name: _endpoint(name, settings) for name, settings in models.items()}


def standing_records(name: str, settings: Mapping[str, Any], now: float) -> dict[str, Record]:
    """The records, by kind, that make such an endpoint look deployed."""
    tags = [{"Key": f"sagechain:{key}", "Value": settings[key]} for key in ("family", "wire") if settings.get(key)]
    made = {"CreationTime": now, "Tags": tags}
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": name,
        "InitialInstanceCount": 1,
        "InstanceType": INSTANCE_TYPE,
        "InitialVariantWeight": 1.0,
    }
    image = {"Image": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/local:latest"}
    return {
        "models": {
            "ModelName": name,
            "ModelArn": sagemaker_arn("model", name, REGION),
            "PrimaryContainer": image,
            "ExecutionRoleArn": f"arn:aws:iam::{ACCOUNT}:role/local",
            **made,
        },
        "endpoint-configs": {
            "EndpointConfigName": name,
            "EndpointConfigArn": sagemaker_arn("endpoint-config", name, REGION),
            "ProductionVariants": [variant],
            **made,
        },
        "endpoints": {
            "EndpointName": name,
            "EndpointArn": sagemaker_arn("endpoint", name, REGION),
            "EndpointConfigName": name,
            "Variants": [{**variant, "Container": image}],
            "ready": now,
            "outcome": "",
            **made,
        },
    }


def _endpoint(name: str, settings: Mapping[str, Any]) -> Endpoint:
    for setting in settings:
        if setting not in SETTINGS:
            raise unknown_name(f"endpoint {name!r}", setting, SETTINGS)
    plan = None
    if "fault" in settings:
        plan = FaultPlan(**{field: settings[field] for field in FAULT_SETTINGS if field in settings})
    elif extra := [field for field in FAULT_SETTINGS if field in settings]:
        raise ValueError(f"endpoint {name!r}: {extra[0]} is given, but no fault")
    return Endpoint(name, _container(name, settings), plan)


def _container(name: str, settings: Mapping[str, Any]) -> Container:
    if "upstream" in settings:
        if "model" in settings:
            raise ValueError(f"endpoint {name!r}: it has a model and an upstream; give one of them")
        return UpstreamContainer(settings["upstream"])
    if "model" not in settings:
        raise ValueError(f"endpoint {name!r}: it has no model; give one, for example 'local:smollm2'")
    family, wire = settings.get("family"), settings.get("wire")
    if family is not None:
        get_family(family)
    wire = wire or DEFAULT_WIRES.get(family or "")
    if wire is None:
        raise ValueError(f"endpoint {name!r}: no wire is given, and no family that has a usual one")
    model = settings["model"]
    return CONTAINERS[get_wire(wire).name](model if isinstance(model, TextModel) else load_llm(model))
