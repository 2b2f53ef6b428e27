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
from .endpoint_states import current, describe, is_gone, status_of
from .models import Deployments
from .pages import page
from .records import Key, Record, Store
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
            "UpdateEndpoint": self._update_endpoint,
            "UpdateEndpointWeightsAndCapacities": self._update_weights,
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
        for key, endpoint in self._store.all(ENDPOINT.records).items():
            if is_gone(endpoint, now):
                self._store.remove(ENDPOINT.records, key)
                self._deployments.remove(key, endpoint)

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
        self._deployments.start((region, parameters["EndpointName"]))
        return response

    def _update_endpoint(self, parameters: Parameters, region: str, failure: Failure) -> dict[str, Any]:
        key, _ = self._find_steady(parameters["EndpointName"], region)
        config = self._find(CONFIG, parameters["EndpointConfigName"], region)
        variants = [self._with_container(variant, region) for variant in config["ProductionVariants"]]
        return self._update(key, region, EndpointConfigName=parameters["EndpointConfigName"], Variants=variants)

    def _update_weights(self, parameters: Parameters, region: str, failure: Failure) -> dict[str, Any]:
        key, endpoint = self._find_steady(parameters["EndpointName"], region)
        variants = {variant["VariantName"]: dict(variant) for variant in endpoint["Variants"]}
        desired = parameters["DesiredWeightsAndCapacities"]
        if unknown := [one["VariantName"] for one in desired if one["VariantName"] not in variants]:
            raise validation_error(
                f'The variant name(s) "{", ".join(unknown)}" is/are not present within endpoint configuration '
                f'"{endpoint["EndpointConfigName"]}".'
            )
        names = {"DesiredWeight": "InitialVariantWeight", "DesiredInstanceCount": "InitialInstanceCount"}
        for one in desired:
            variants[one["VariantName"]] |= {ours: one[name] for name, ours in names.items() if name in one}
        return self._update(key, region, Variants=list(variants.values()))

    def _find_steady(self, name: str, region: str) -> tuple[Key, Record]:
        """An endpoint that can be updated: its key and its record. Raises AwsError: it is in another state."""
        arn, now = sagemaker_arn(ENDPOINT.arn, name, region), self._clock()
        endpoint = self._find(ENDPOINT, name, region)
        if (status := status_of(endpoint, now)) == "Failed":
            raise validation_error(f'Cannot update endpoint "{arn}" with status Failed.')
        if status != "InService":
            raise validation_error(f'Cannot update in-progress endpoint "{arn}".')
        return self._key(ENDPOINT, name, region), current(endpoint, now)

    def _update(self, key: Key, region: str, **changes: Any) -> dict[str, Any]:
        """Start an update of an endpoint, on top of those that are over."""
        now, endpoint = self._clock(), current(self._store.get(ENDPOINT.records, key), self._clock())
        update = {"started": now, "ready": now + self._creating_seconds, "outcome": None, "changes": changes}
        self._store.put(ENDPOINT.records, key, {**endpoint, "update": update})
        self._deployments.update(key)
        return {"EndpointArn": sagemaker_arn(ENDPOINT.arn, key[1], region)}

    def _with_container(self, variant: Mapping[str, Any], region: str) -> dict[str, Any]:
        """The variant and its container, since its configuration and its model may be deleted before the endpoint is."""
        if "ModelName" not in variant:
            return {**variant, "Container": {}}
        model = self._find(MODEL, variant["ModelName"], region)
        return {**variant, "Container": model.get("PrimaryContainer") or model["Containers"][0]}

    def _delete_endpoint(self, parameters: Parameters, region: str, failure: Failure) -> dict[str, Any]:
        endpoint, now = self._find(ENDPOINT, parameters["EndpointName"], region), self._clock()
        if status_of(endpoint, now) not in ("InService", "Failed"):
            arn = sagemaker_arn(ENDPOINT.arn, parameters["EndpointName"], region)
            raise validation_error(f'Cannot update in-progress endpoint "{arn}".')
        gone = now + failure.scaled_seconds("deleting", self._deleting_seconds)
        key = self._key(ENDPOINT, parameters["EndpointName"], region)
        self._store.change(ENDPOINT.records, key, deleted=now, gone=gone)
        return {}

    def _add_tags(self, parameters: Parameters, region: str, failure: Failure) -> dict[str, Any]:
        kind, key, record = self._find_tagged(parameters["ResourceArn"])
        tags = {tag["Key"]: tag for tag in [*record["Tags"], *_checked_tags(parameters["Tags"])]}
        if len(tags) > MAX_TAGS:
            raise validation_error(f"{parameters['ResourceArn']} would have {len(tags)} tags, more than {MAX_TAGS}.")
        self._store.change(kind.records, key, Tags=list(tags.values()))
        return {"Tags": list(tags.values())}

    def _list_tags(self, parameters: Parameters, region: str, failure: Failure) -> dict[str, Any]:
        return {"Tags": self._find_tagged(parameters["ResourceArn"])[2]["Tags"]}  # they always fit one page

    def _delete_tags(self, parameters: Parameters, region: str, failure: Failure) -> dict[str, Any]:
        kind, key, record = self._find_tagged(parameters["ResourceArn"])
        remaining = [tag for tag in record["Tags"] if tag["Key"] not in parameters["TagKeys"]]
        self._store.change(kind.records, key, Tags=remaining)
        return {}

    def _describe_handler(self, kind: Kind) -> Handler:
        def describe_one(parameters: Parameters, region: str, failure: Failure) -> dict[str, Any]:
            return self._description(kind, self._find(kind, parameters[f"{kind.member}Name"], region), region)

        return describe_one

    def _list_handler(self, kind: Kind) -> Handler:
        members = {"CreationTime", "LastModifiedTime"} | {kind.member + part for part in ("Name", "Arn", "Status")}

        def list_page(parameters: Parameters, region: str, failure: Failure) -> dict[str, Any]:
            records = self._store.all(kind.records, region).values()
            descriptions = [self._description(kind, record, region) for record in records]
            summaries = [{name: one[name] for name in one if name in members} for one in descriptions]
            listed, token = page(summaries, parameters, member=kind.member)
            return {f"{kind.member}s": listed, **({"NextToken": token} if token else {})}

        return list_page

    def _delete_handler(self, kind: Kind) -> Handler:
        def delete(parameters: Parameters, region: str, failure: Failure) -> dict[str, Any]:
            self._store.remove(kind.records, self._key(kind, parameters[f"{kind.member}Name"], region))
            return {}

        return delete

    def _description(self, kind: Kind, record: Record, region: str) -> dict[str, Any]:
        arn = {f"{kind.member}Arn": sagemaker_arn(kind.arn, record[f"{kind.member}Name"], region)}
        if kind is ENDPOINT:
            return describe(record, self._clock()) | arn
        return {name: value for name, value in record.items() if name != "Tags"} | arn

    def _create(self, kind: Kind, parameters: Parameters, region: str, **fields: Any) -> dict[str, Any]:
        name = parameters[f"{kind.member}Name"]
        self._check_is_new(kind, name, region)
        arn = sagemaker_arn(kind.arn, name, region)
        tags = _checked_tags(parameters.get("Tags", []))
        record = {**parameters, f"{kind.member}Arn": arn, "CreationTime": self._clock(), "Tags": tags, **fields}
        self._store.put(kind.records, (region, name), record)
        return {f"{kind.member}Arn": arn}

    def _check_is_new(self, kind: Kind, name: str, region: str) -> None:
        if self._store.key(kind.records, name, region) is not None:
            arn = sagemaker_arn(kind.arn, name, region)
            raise validation_error(f'Cannot create already existing {kind.noun} "{arn}".')

    def _find(self, kind: Kind, name: str, region: str) -> Record:
        return self._store.get(kind.records, self._key(kind, name, region))

    def _key(self, kind: Kind, name: str, region: str) -> Key:
        key = self._store.key(kind.records, name, region)
        if key is None:
            raise validation_error(f'Could not find {kind.noun} "{sagemaker_arn(kind.arn, name, region)}".')
        return key

    def _find_tagged(self, arn: str) -> tuple[Kind, Key, Record]:
        parts = arn.split(":", 5)
        if len(parts) != 6:
            raise validation_error(f"ResourceArn: {arn!r} is not an ARN.")
        region, (type_name, _, name) = parts[3], parts[5].partition("/")
        for kind in KINDS:
            if kind.arn == type_name:
                key = self._key(kind, name, region)
                return kind, key, self._store.get(kind.records, key)
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
