"""SageMaker's control plane: models, endpoint configurations, endpoints and their tags, as far as a deployment needs it.

`ControlPlane.carry_out` checks a request by botocore's description of its operation (`validation.py`) and carries it out
on the records (`records.py`). The containers behind the endpoints are in `models.py`.

Source: Amazon SageMaker's API reference; the texts of errors are the service's.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..account import sagemaker_arn
from ..errors import AwsError, validation_error
from ..failures import Failure
from .endpoint_states import describe, is_gone, status_of
from .models import Deployments
from .pages import page
from .records import Record, Store
from .validation import check

MAX_TAGS = 50  # of one resource, in AWS

Parameters = dict[str, Any]
Handler = Callable[[Parameters, str, Failure], dict[str, Any]]
"""A function that carries out an operation; its arguments are the parameters, the region, and the failure to simulate."""


@dataclass(frozen=True)
class Kind:
    """A kind of resource, and its name in records, in ARNs, in sentences and in members."""

    records: str
    arn: str
    noun: str
    member: str


MODEL = Kind("models", "model", "model", "Model")
CONFIG = Kind("endpoint-configs", "endpoint-config", "endpoint configuration", "EndpointConfig")
ENDPOINT = Kind("endpoints", "endpoint", "endpoint", "Endpoint")
KINDS = (CONFIG, ENDPOINT, MODEL)


class ControlPlane:
    """The operations.

    Args:
        store: the records.
        deployments: the containers behind the endpoints.
        clock: seconds since the epoch.
        creating_seconds: how long an endpoint is `Creating` at least.
        deleting_seconds: how long it is `Deleting`.
    """

    def __init__(
        self,
        store: Store,
        deployments: Deployments,
        *,
        clock: Callable[[], float],
        creating_seconds: float,
        deleting_seconds: float,
    ) -> None:
        self._store, self._deployments, self._clock = store, deployments, clock
        self._creating_seconds, self._deleting_seconds = creating_seconds, deleting_seconds
        self._handlers: dict[str, Handler] = {
            "CreateModel": self._create_model,
            "CreateEndpointConfig": self._create_config,
            "CreateEndpoint": self._create_endpoint,
            "DeleteEndpoint": self._delete_endpoint,
            "AddTags": self._add_tags,
            "ListTags": self._list_tags,
            "DeleteTags": self._delete_tags,
        }
        for kind in KINDS:
            self._handlers[f"Describe{kind.member}"] = self._describe_handler(kind)
            self._handlers[f"List{kind.member}s"] = self._list_handler(kind)
        for kind in (MODEL, CONFIG):
            self._handlers[f"Delete{kind.member}"] = self._delete_handler(kind)

    def carry_out(self, operation: str, parameters: Any, region: str, failure: Failure) -> dict[str, Any]:
        """Carry out one operation and return its response.

        Raises:
            AwsError: as SageMaker answers it.
        """
        if operation not in self._handlers:
            known = ", ".join(sorted(self._handlers))
            raise AwsError("UnknownOperationException", f"The local runtime has no {operation}; it has {known}.")
        self._remove_gone_endpoints()
        return self._handlers[operation](check(operation, parameters), region, failure)

    def _remove_gone_endpoints(self) -> None:
        now = self._clock()
        for name, endpoint in self._store.all(ENDPOINT.records).items():
            if is_gone(endpoint, now):
                self._store.remove(ENDPOINT.records, name)
                self._deployments.remove(endpoint)

    def _create_model(self, parameters: Parameters, region: str, failure: Failure) -> dict[str, Any]:
        if "PrimaryContainer" not in parameters and not parameters.get("Containers"):
            raise validation_error("Either PrimaryContainer or Containers must be given to create a model.")
        if "ExecutionRoleArn" not in parameters:
            raise validation_error(
                "1 validation error detected: Value null at 'executionRoleArn' failed to satisfy constraint: "
                "Member must not be null"
            )
        failure.raise_error(role=parameters["ExecutionRoleArn"])
        return self._create(MODEL, parameters, region)

    def _create_config(self, parameters: Parameters, region: str, failure: Failure) -> dict[str, Any]:
        for variant in parameters["ProductionVariants"]:
            if "ModelName" in variant:
                self._find(MODEL, variant["ModelName"], region)
            if "ServerlessConfig" not in variant and not {"InstanceType", "InitialInstanceCount"} <= variant.keys():
                raise validation_error(
                    f"Production variant {variant['VariantName']} needs InstanceType and InitialInstanceCount, "
                    "or ServerlessConfig."
                )
            variant.setdefault("InitialVariantWeight", 1.0)
        return self._create(CONFIG, parameters, region)

    def _create_endpoint(self, parameters: Parameters, region: str, failure: Failure) -> dict[str, Any]:
        config = self._find(CONFIG, parameters["EndpointConfigName"], region)
        variants = [self._with_container(variant, region) for variant in config["ProductionVariants"]]
        self._check_is_new(ENDPOINT, parameters["EndpointName"], region)
        first = variants[0]
        failure.raise_error(
            instance_type=first.get("InstanceType", "serverless"), instance_count=first.get("InitialInstanceCount", 1)
        )
        ready = self._clock() + failure.scaled_seconds("creating", self._creating_seconds)
        response = self._create(ENDPOINT, parameters, region, Variants=variants, ready=ready, outcome=failure.reason)
        self._deployments.start(self._store.all(ENDPOINT.records)[parameters["EndpointName"]])
        return response

    def _with_container(self, variant: Mapping[str, Any], region: str) -> dict[str, Any]:
        """The variant and its container, since its configuration and its model may be deleted before the endpoint is."""
        if "ModelName" not in variant:
            return {**variant, "Container": {}}
        model = self._find(MODEL, variant["ModelName"], region)
        return {**variant, "Container": model.get("PrimaryContainer") or model["Containers"][0]}

    def _delete_endpoint(self, parameters: Parameters, region: str, failure: Failure) -> dict[str, Any]:
        endpoint, now = self._find(ENDPOINT, parameters["EndpointName"], region), self._clock()
        if status_of(endpoint, now) in ("Creating", "Deleting"):
            raise validation_error(f'Cannot update in-progress endpoint "{endpoint["EndpointArn"]}".')
        gone = now + failure.scaled_seconds("deleting", self._deleting_seconds)
        self._store.change(ENDPOINT.records, parameters["EndpointName"], deleted=now, gone=gone)
        return {}

    def _add_tags(self, parameters: Parameters, region: str, failure: Failure) -> dict[str, Any]:
        kind, name, record = self._find_tagged(parameters["ResourceArn"])
        tags = {tag["Key"]: tag for tag in [*record["Tags"], *_checked_tags(parameters["Tags"])]}
        if len(tags) > MAX_TAGS:
            raise validation_error(f"{parameters['ResourceArn']} would have {len(tags)} tags, more than {MAX_TAGS}.")
        self._store.change(kind.records, name, Tags=list(tags.values()))
        return {"Tags": list(tags.values())}

    def _list_tags(self, parameters: Parameters, region: str, failure: Failure) -> dict[str, Any]:
        return {"Tags": self._find_tagged(parameters["ResourceArn"])[2]["Tags"]}  # they always fit one page

    def _delete_tags(self, parameters: Parameters, region: str, failure: Failure) -> dict[str, Any]:
        kind, name, record = self._find_tagged(parameters["ResourceArn"])
        remaining = [tag for tag in record["Tags"] if tag["Key"] not in parameters["TagKeys"]]
        self._store.change(kind.records, name, Tags=remaining)
        return {}

    def _describe_handler(self, kind: Kind) -> Handler:
        def describe_one(parameters: Parameters, region: str, failure: Failure) -> dict[str, Any]:
            return self._description(kind, self._find(kind, parameters[f"{kind.member}Name"], region))

        return describe_one

    def _list_handler(self, kind: Kind) -> Handler:
        members = {"CreationTime", "LastModifiedTime"} | {kind.member + part for part in ("Name", "Arn", "Status")}

        def list_page(parameters: Parameters, region: str, failure: Failure) -> dict[str, Any]:
            descriptions = [self._description(kind, record) for record in self._store.all(kind.records).values()]
            summaries = [{name: one[name] for name in one if name in members} for one in descriptions]
            listed, token = page(summaries, parameters, member=kind.member)
            return {f"{kind.member}s": listed, **({"NextToken": token} if token else {})}

        return list_page

    def _delete_handler(self, kind: Kind) -> Handler:
        def delete(parameters: Parameters, region: str, failure: Failure) -> dict[str, Any]:
            self._find(kind, parameters[f"{kind.member}Name"], region)
            self._store.remove(kind.records, parameters[f"{kind.member}Name"])
            return {}

        return delete

    def _description(self, kind: Kind, record: Record) -> dict[str, Any]:
        if kind is ENDPOINT:
            return describe(record, self._clock())
        return {name: value for name, value in record.items() if name != "Tags"}

    def _create(self, kind: Kind, parameters: Parameters, region: str, **fields: Any) -> dict[str, Any]:
        name = parameters[f"{kind.member}Name"]
        self._check_is_new(kind, name, region)
        arn = sagemaker_arn(kind.arn, name, region)
        tags = _checked_tags(parameters.get("Tags", []))
        record = {**parameters, f"{kind.member}Arn": arn, "CreationTime": self._clock(), "Tags": tags, **fields}
        self._store.put(kind.records, name, record)
        return {f"{kind.member}Arn": arn}

    def _check_is_new(self, kind: Kind, name: str, region: str) -> None:
        if self._store.find(kind.records, name) is not None:
            arn = sagemaker_arn(kind.arn, name, region)
            raise validation_error(f'Cannot create already existing {kind.noun} "{arn}".')

    def _find(self, kind: Kind, name: str, region: str) -> Record:
        record = self._store.find(kind.records, name)
        if record is None:
            raise validation_error(f'Could not find {kind.noun} "{sagemaker_arn(kind.arn, name, region)}".')
        return record

    def _find_tagged(self, arn: str) -> tuple[Kind, str, Record]:
        parts = arn.split(":", 5)
        if len(parts) != 6:
            raise validation_error(f"ResourceArn: {arn!r} is not an ARN.")
        region, (type_name, _, name) = parts[3], parts[5].partition("/")
        for kind in KINDS:
            if kind.arn == type_name:
                return kind, name, self._find(kind, name, region)
        known = ", ".join(kind.arn for kind in KINDS)
        raise validation_error(f"ResourceArn: the local runtime has no {type_name}; it has {known}.")


def _checked_tags(tags: Iterable[Mapping[str, str]]) -> list[Mapping[str, str]]:
    """The tags, unless a key is reserved or occurs twice."""
    keys = [tag["Key"] for tag in tags]
    for key in keys:
        if keys.count(key) > 1:
            raise validation_error(f"Duplicate tag keys found: {key}. Please note that tag keys are case insensitive.")
        if key.lower().startswith("aws:"):
            raise validation_error(f"aws: prefixed tag key names are not allowed for external use: {key}")
    return list(tags)
