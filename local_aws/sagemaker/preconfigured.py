"""The endpoints that the local runtime serves from the start: their settings, and records as if they had been deployed.

They answer in every region, and end with the runtime. They lack the tag `sagechain:tool`: sagechain did not deploy them.
"""

from collections.abc import Mapping
from typing import Any

from sagechain.llms import TextModel, load_llm
from sagechain.llms.wires import DEFAULT_WIRES, get_wire
from sagechain.prompts import get_family, read_yaml, unknown_name

from ..account import ACCOUNT, DEFAULT_REGION
from ..inference.containers import CONTAINERS, Container, UpstreamContainer
from ..inference.faults import FaultPlan
from .models import Endpoint
from .records import Record

INSTANCE_TYPE = "ml.m5.large"  # a configuration needs one; nothing runs on it

FAULT_SETTINGS = ("fault", "times", "frames", "seconds")
SETTINGS = ("model", "upstream", "family", "wire", *FAULT_SETTINGS)

EndpointSettings = Mapping[str, Any]


def default_endpoints() -> dict[str, dict[str, str]]:
    """The settings of the endpoints that are served when none are given."""
    endpoints: dict[str, dict[str, str]] = read_yaml(__package__, "endpoints.yaml")
    return endpoints


def endpoint_of(name: str, settings: EndpointSettings) -> Endpoint:
    """The endpoint that has these settings.

    Raises:
        ValueError: a model, family, wire or setting that is unknown.
    """
    for setting in settings:
        if setting not in SETTINGS:
            raise unknown_name(f"endpoint {name!r}", setting, SETTINGS)
    fault_settings = {setting: settings[setting] for setting in FAULT_SETTINGS if setting in settings}
    if fault_settings and "fault" not in settings:
        raise ValueError(f"endpoint {name!r}: {next(iter(fault_settings))} is given, but no fault")
    return Endpoint(_container(name, settings), FaultPlan(**fault_settings) if fault_settings else None)


def _container(name: str, settings: EndpointSettings) -> Container:
    if "upstream" in settings:
        if "model" in settings:
            raise ValueError(f"endpoint {name!r}: it has a model and an upstream; give one of them")
        return UpstreamContainer(settings["upstream"])
    if "model" not in settings:
        raise ValueError(f"endpoint {name!r}: it has no model; give one, for example 'local:smollm2'")
    family = settings.get("family")
    if family is not None:
        get_family(family)
    wire = settings.get("wire") or DEFAULT_WIRES.get(family or "")
    if wire is None:
        raise ValueError(f"endpoint {name!r}: no wire is given, and no family that has a default wire")
    model = settings["model"]
    return CONTAINERS[get_wire(wire).name](model if isinstance(model, TextModel) else load_llm(model))


def records_of(name: str, settings: EndpointSettings, now: float) -> dict[str, Record]:
    """The records by kind that show the endpoint to AWS's clients as if it had been deployed."""
    tags = [{"Key": f"sagechain:{key}", "Value": settings[key]} for key in ("family", "wire") if settings.get(key)]
    common = {"CreationTime": now, "Tags": tags}
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": name,
        "InitialInstanceCount": 1,
        "InstanceType": INSTANCE_TYPE,
        "InitialVariantWeight": 1.0,
    }
    image = {"Image": f"{ACCOUNT}.dkr.ecr.{DEFAULT_REGION}.amazonaws.com/local:latest"}
    return {
        "models": {
            "ModelName": name,
            "PrimaryContainer": image,
            "ExecutionRoleArn": f"arn:aws:iam::{ACCOUNT}:role/local",
            **common,
        },
        "endpoint-configs": {
            "EndpointConfigName": name,
            "ProductionVariants": [variant],
            **common,
        },
        "endpoints": {
            "EndpointName": name,
            "EndpointConfigName": name,
            "Variants": [{**variant, "Container": image}],
            "ready": now,
            "outcome": "",
            **common,
        },
    }
