"""SageMaker's control plane: models, endpoint configurations, endpoints and their tags, as far as a deployment needs it.

`ControlPlane.call` carries out one operation on the records (`store.py`), after botocore's description of it has been held
against the request (`service_model.py`). What stands behind an endpoint is `deployed.py`'s.

Source: Amazon SageMaker's API reference; the texts of refusals are the service's.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..account import sagemaker_arn
from ..refusals import Refused, invalid
from .endpoint_states import described, is_gone, status_of
from .failures import NO_FAILURE, Failure
from .models import Deployments
from .pages import page
from .records import Record, Store
from .validation import checked

MOST_TAGS = 50  # of one resource, in AWS


@dataclass(frozen=True)
class Kind:
    """A kind of resource, and how it is called in records, in ARNs, in sentences and in members."""

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
        deployments: what stands behind the endpoints.
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
        self.store, self.deployments, self.clock = store, deployments, clock
        self.creating_seconds, self.deleting_seconds = creating_seconds, deleting_seconds
        self._operations: dict[str, Callable[[dict[str, Any], str, Failure], dict[str, Any]]] = {
            "CreateModel": self._create_model,
            "CreateEndpointConfig": self._create_config,
            "CreateEndpoint": self._create_endpoint,
            "DeleteEndpoint": self._delete_endpoint,
            "AddTags": self._add_tags,
            "ListTags": self._list_tags,
            "DeleteTags": self._delete_tags,
        }
        for kind in KINDS:
            self._operations[f"Describe{kind.member}"] = self._describing(kind)
            self._operations[f"List{kind.member}s"] = self._listing(kind)
        for kind in (MODEL, CONFIG):
            self._operations[f"Delete{kind.member}"] = self._deleting(kind)

    def call(self, operation: str, parameters: Any, region: str, failure: Failure = NO_FAILURE) -> dict[str, Any]:
        """Carry out one operation and give what it returns.

        Raises:
            Refused: as AWS refuses it.
        """
        if operation not in self._operations:
            known = ", ".join(sorted(self._operations))
            raise Refused("UnknownOperationException", f"The local runtime has no {operation}; it has {known}.")
        self._sweep()
        return self._operations[operation](checked(operation, parameters), region, failure)

    def _sweep(self) -> None:
        """Forget the endpoints whose deletion is over."""
        now = self.clock()
        for name, endpoint in self.store.all(ENDPOINT.records).items():
            if is_gone(endpoint, now):
                self.store.remove(ENDPOINT.records, name)
                self.deployments.forget(endpoint)

    def in_service(self) -> list[str]:
        """The names of the endpoints that answer."""
        now = self.clock()
        return [name for name, one in self.store.all(ENDPOINT.records).items() if status_of(one, now) == "InService"]

    def _create_model(self, asked: dict[str, Any], region: str, failure: Failure) -> dict[str, Any]:
        if "PrimaryContainer" not in asked and not asked.get("Containers"):
            raise invalid("Either PrimaryContainer or Containers must be given to create a model.")
        if "ExecutionRoleArn" not in asked:
            raise invalid(
                "1 validation error detected: Value null at 'executionRoleArn' failed to satisfy constraint: "
                "Member must not be null"
            )
        failure.refuse(role=asked["ExecutionRoleArn"])
        return self._created(MODEL, asked, region)

    def _create_config(self, asked: dict[str, Any], region: str, failure: Failure) -> dict[str, Any]:
        for variant in asked["ProductionVariants"]:
            if "ModelName" in variant:
                self._found(MODEL, variant["ModelName"], region)
            if "ServerlessConfig" not in variant and not {"InstanceType", "InitialInstanceCount"} <= variant.keys():
                raise invalid(
                    f"Production variant {variant['VariantName']} needs InstanceType and InitialInstanceCount, "
                    "or ServerlessConfig."
                )
            variant.setdefault("InitialVariantWeight", 1.0)
        return self._created(CONFIG, asked, region)

    def _create_endpoint(self, asked: dict[str, Any], region: str, failure: Failure) -> dict[str, Any]:
        config = self._found(CONFIG, asked["EndpointConfigName"], region)
        variants = [self._with_container(variant, region) for variant in config["ProductionVariants"]]
        self._check_new(ENDPOINT, asked["EndpointName"], region)
        first = variants[0]
        failure.refuse(
            instance_type=first.get("InstanceType", "serverless"), instance_count=first.get("InitialInstanceCount", 1)
        )
        ready = self.clock() + failure.lengthened("creating", self.creating_seconds)
        answer = self._created(ENDPOINT, asked, region, Variants=variants, ready=ready, outcome=failure.reason)
        self.deployments.begin(self.store.all(ENDPOINT.records)[asked["EndpointName"]])
        return answer

    def _with_container(self, variant: Mapping[str, Any], region: str) -> dict[str, Any]:
        """The variant and its container, since its configuration and its model may be deleted before the endpoint is."""
        if "ModelName" not in variant:
            return {**variant, "Container": {}}
        model = self._found(MODEL, variant["ModelName"], region)
        return {**variant, "Container": model.get("PrimaryContainer") or model["Containers"][0]}

    def _delete_endpoint(self, asked: dict[str, Any], region: str, failure: Failure) -> dict[str, Any]:
        endpoint, now = self._found(ENDPOINT, asked["EndpointName"], region), self.clock()
        if status_of(endpoint, now) in ("Creating", "Deleting"):
            raise invalid(f'Cannot update in-progress endpoint "{endpoint["EndpointArn"]}".')
        gone = now + failure.lengthened("deleting", self.deleting_seconds)
        self.store.change(ENDPOINT.records, asked["EndpointName"], deleted=now, gone=gone)
        return {}

    def _add_tags(self, asked: dict[str, Any], region: str, failure: Failure) -> dict[str, Any]:
        kind, name, record = self._tagged(asked["ResourceArn"])
        tags = {tag["Key"]: tag for tag in [*record["Tags"], *_distinct(asked["Tags"])]}
        if len(tags) > MOST_TAGS:
            raise invalid(f"{asked['ResourceArn']} would have {len(tags)} tags, more than {MOST_TAGS}.")
        self.store.change(kind.records, name, Tags=list(tags.values()))
        return {"Tags": list(tags.values())}

    def _list_tags(self, asked: dict[str, Any], region: str, failure: Failure) -> dict[str, Any]:
        return {"Tags": self._tagged(asked["ResourceArn"])[2]["Tags"]}  # never more than one page holds

    def _delete_tags(self, asked: dict[str, Any], region: str, failure: Failure) -> dict[str, Any]:
        kind, name, record = self._tagged(asked["ResourceArn"])
        kept = [tag for tag in record["Tags"] if tag["Key"] not in asked["TagKeys"]]
        self.store.change(kind.records, name, Tags=kept)
        return {}

    def _describing(self, kind: Kind) -> Callable[[dict[str, Any], str, Failure], dict[str, Any]]:
        def describe(asked: dict[str, Any], region: str, failure: Failure) -> dict[str, Any]:
            return self._description(kind, self._found(kind, asked[f"{kind.member}Name"], region))

        return describe

    def _listing(self, kind: Kind) -> Callable[[dict[str, Any], str, Failure], dict[str, Any]]:
        told = ("Name", "Arn", "Status")

        def listed(asked: dict[str, Any], region: str, failure: Failure) -> dict[str, Any]:
            summaries = [
                {
                    name: value
                    for name, value in self._description(kind, record).items()
                    if name in ("CreationTime", "LastModifiedTime", *(kind.member + part for part in told))
                }
                for record in self.store.all(kind.records).values()
            ]
            found, token = page(summaries, asked, of=kind.member)
            return {f"{kind.member}s": found, **({"NextToken": token} if token else {})}

        return listed

    def _deleting(self, kind: Kind) -> Callable[[dict[str, Any], str, Failure], dict[str, Any]]:
        def delete(asked: dict[str, Any], region: str, failure: Failure) -> dict[str, Any]:
            self._found(kind, asked[f"{kind.member}Name"], region)
            self.store.remove(kind.records, asked[f"{kind.member}Name"])
            return {}

        return delete

    def _description(self, kind: Kind, record: Record) -> dict[str, Any]:
        if kind is ENDPOINT:
            return described(record, self.clock())
        return {name: value for name, value in record.items() if name != "Tags"}

    def _created(self, kind: Kind, asked: dict[str, Any], region: str, **facts: Any) -> dict[str, Any]:
        name = asked[f"{kind.member}Name"]
        self._check_new(kind, name, region)
        arn = sagemaker_arn(kind.arn, name, region)
        tags = _distinct(asked.get("Tags", []))
        record = {**asked, f"{kind.member}Arn": arn, "CreationTime": self.clock(), "Tags": tags, **facts}
        self.store.put(kind.records, name, record)
        return {f"{kind.member}Arn": arn}

    def _check_new(self, kind: Kind, name: str, region: str) -> None:
        if self.store.find(kind.records, name) is not None:
            raise invalid(f'Cannot create already existing {kind.noun} "{sagemaker_arn(kind.arn, name, region)}".')

    def _found(self, kind: Kind, name: str, region: str) -> Record:
        record = self.store.find(kind.records, name)
        if record is None:
            raise invalid(f'Could not find {kind.noun} "{sagemaker_arn(kind.arn, name, region)}".')
        return record

    def _tagged(self, arn: str) -> tuple[Kind, str, Record]:
        region, (of, _, name) = arn.split(":")[3], arn.split(":", 5)[5].partition("/")
        for kind in KINDS:
            if kind.arn == of:
                return kind, name, self._found(kind, name, region)
        raise invalid(f"ResourceArn: the local runtime has no {of}; it has {', '.join(kind.arn for kind in KINDS)}.")


def _distinct(tags: Iterable[Mapping[str, str]]) -> list[Mapping[str, str]]:
    """The tags, if no key comes twice."""
    keys = [tag["Key"] for tag in tags]
    for key in keys:
        if keys.count(key) > 1:
            raise invalid(f"Duplicate tag keys found: {key}. Please note that tag keys are case insensitive.")
        if key.lower().startswith("aws:"):
            raise invalid(f"aws: prefixed tag key names are not allowed for external use: {key}")
    return list(tags)
