"""What endpoints cost: variant by variant, until a failure, and not known rather than wrong."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from sagechain.endpoints import EndpointInfo, deploy, list_endpoints, price_of
from sagechain.endpoints.billing import Bill, bill
from sagechain.local_aws import LocalRuntime

from tests.endpoints.account import QUICK
from tests.endpoints.replies import replace_replies

START = datetime(2026, 11, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SMALL, LARGE, UNPRICED = "ml.m5.large", "ml.g5.2xlarge", "ml.x9.large"
SMALL_USD, LARGE_USD = 0.115, 1.515


def variant(name: str, instance_type: str, count: int, **fields: Any) -> dict[str, Any]:
    return {"VariantName": name, "InstanceType": instance_type, "InitialInstanceCount": count, **fields}


def bill_of(
    *variants: dict[str, Any], shadows: Any = (), ours: bool = False, config: Any = None, **fields: Any
) -> Bill:
    endpoint = {"EndpointName": "e", "EndpointConfigName": "c", "EndpointStatus": "InService", "CreationTime": START,
                "LastModifiedTime": START, **fields}  # fmt: skip
    configuration = {"CreationTime": START - HOUR, "ProductionVariants": list(variants),
                     "ShadowProductionVariants": list(shadows), **(config or {})}  # fmt: skip
    return bill(endpoint, configuration, region="us-east-1", now=START + 2 * HOUR, is_ours=ours)


def listed(name: str) -> EndpointInfo:
    return next(each for each in list_endpoints() if each.name == name)


def test_each_variant_costs_its_own_instances() -> None:
    result = bill_of(variant("a", SMALL, 3), variant("b", LARGE, 2), variant("c", SMALL, 1))
    assert result.instances == {SMALL: 4, LARGE: 2}
    assert result.usd_per_hour == pytest.approx(4 * SMALL_USD + 2 * LARGE_USD)
    assert result.usd_so_far == pytest.approx(2 * (4 * SMALL_USD + 2 * LARGE_USD))
    assert result.unknown == ()


def test_running_instances_count_rather_than_the_initial_ones() -> None:
    running = [{"VariantName": "a", "CurrentInstanceCount": 5}, {"VariantName": "b", "CurrentInstanceCount": 0}]
    result = bill_of(variant("a", SMALL, 1), variant("b", LARGE, 1), ProductionVariants=running)
    assert result.instances == {SMALL: 5, LARGE: 0}
    assert result.usd_per_hour == pytest.approx(5 * SMALL_USD)


@pytest.mark.parametrize("running", [0, 3])
def test_a_scaled_endpoint_has_a_price_now_and_an_unknown_cost_so_far(running: int) -> None:
    result = bill_of(variant("a", LARGE, 1), ProductionVariants=[{"VariantName": "a", "CurrentInstanceCount": running}])
    assert (result.usd_per_hour, result.usd_so_far) == (running * LARGE_USD, None)
    assert "it was scaled" in result.unknown[0]


def test_shadow_variants_cost_as_much_as_others() -> None:
    result = bill_of(variant("a", SMALL, 1), shadows=[variant("b", LARGE, 1)])
    assert result.usd_per_hour == pytest.approx(SMALL_USD + LARGE_USD)


def test_a_variant_with_an_unknown_price_makes_the_sum_unknown() -> None:
    result = bill_of(variant("a", SMALL, 1), variant("b", UNPRICED, 1))
    assert (result.usd_per_hour, result.usd_so_far) == (None, None)
    assert [price.note[:27] for price in result.prices] == ["", "the price of ml.x9.large is"]


def test_pools_of_instances_cost_what_runs_and_are_unknown_without_counts() -> None:
    pools = [{"InstanceType": SMALL, "Priority": 1}, {"InstanceType": LARGE, "Priority": 2}]
    pooled = {"VariantName": "a", "InstancePools": pools, "InitialInstanceCount": 3}
    assert bill_of(pooled).usd_per_hour is None
    assert "variant a has pools of instances" in bill_of(pooled).unknown[0]
    running = [{"InstanceType": SMALL, "CurrentInstanceCount": 1}, {"InstanceType": LARGE, "CurrentInstanceCount": 2}]
    described = bill_of(pooled, ProductionVariants=[{"VariantName": "a", "InstancePools": running}])
    assert described.instances == {SMALL: 1, LARGE: 2}
    assert described.usd_per_hour == pytest.approx(SMALL_USD + 2 * LARGE_USD)


@pytest.mark.parametrize(
    ("variants", "fields", "reason"),
    [
        ([{"VariantName": "a", "ServerlessConfig": {"MemorySizeInMB": 1024}}], {}, "variant a is serverless"),
        ([{"VariantName": "a", "ModelName": "m"}], {}, "variant a names no instances"),
        ([variant("a", SMALL, 1)], {"PendingDeploymentSummary": {"EndpointConfigName": "d"}}, "it is being updated"),
        ([variant("a", SMALL, 1)], {"ProductionVariants": [{"VariantName": "z", "CurrentInstanceCount": 1}]},
         "it is being updated"),
    ],
)  # fmt: skip
def test_a_cost_that_cannot_be_known_is_none_with_a_reason(variants: Any, fields: Any, reason: str) -> None:
    result = bill_of(*variants, **fields)
    assert (result.usd_per_hour, result.usd_so_far) == (None, None)
    assert reason in result.unknown[0]


@pytest.mark.parametrize("given", [{"config": {"CreationTime": START + HOUR}}, {"ours": True}])
def test_an_updated_endpoint_has_a_price_now_and_an_unknown_cost_so_far(given: dict[str, Any]) -> None:
    result = bill_of(variant("a", LARGE, 1), **given)
    assert (result.usd_per_hour, result.usd_so_far) == (LARGE_USD, None)
    assert "it was updated" in result.unknown[0]


def test_a_failed_endpoint_has_cost_until_it_failed_and_costs_nothing_now() -> None:
    described = [{"VariantName": "a", "CurrentInstanceCount": 0}]
    result = bill_of(
        variant("a", LARGE, 2), EndpointStatus="Failed", LastModifiedTime=START + HOUR / 2, ProductionVariants=described
    )
    assert result.usd_so_far == pytest.approx(LARGE_USD)
    assert (result.usd_per_hour, result.instances) == (0, {LARGE: 0})
    unpriced = bill_of(variant("a", UNPRICED, 2), EndpointStatus="Failed", LastModifiedTime=START + HOUR)
    assert (unpriced.usd_so_far, unpriced.usd_per_hour) == (None, None)


@pytest.mark.parametrize("status", ["Creating", "Updating", "Deleting", "OutOfService", "UpdateRollbackFailed"])
def test_an_endpoint_in_any_other_state_costs_until_now(status: str) -> None:
    assert bill_of(variant("a", LARGE, 1), EndpointStatus=status).usd_so_far == pytest.approx(2 * LARGE_USD)


def test_the_list_shows_each_type_of_a_mixed_endpoint(aws: LocalRuntime) -> None:
    client = boto3.client("sagemaker")
    variants = [
        variant("a", "ml.g5.xlarge", 2, ModelName="theirs-model"),
        variant("b", SMALL, 1, ModelName="somebodys"),
    ]
    client.create_endpoint_config(EndpointConfigName="mixed", ProductionVariants=variants)
    client.create_endpoint(EndpointName="mixed", EndpointConfigName="mixed")
    mixed = listed("mixed")
    usd = 2 * (price_of("ml.g5.xlarge", "us-east-1").usd_per_hour or 0) + SMALL_USD
    assert (mixed.instance_type, mixed.instance_count) == ("ml.g5.xlarge, ml.m5.large", 3)
    assert mixed.bill.usd_per_hour == pytest.approx(usd)
    assert mixed.cost_so_far == pytest.approx(usd * mixed.age / 3_600)


def test_the_list_shows_what_a_failed_endpoint_has_cost(aws: LocalRuntime) -> None:
    client = boto3.client("sagemaker")
    aws.fail("CreateEndpoint", "no-capacity")
    client.create_endpoint(EndpointName="failed", EndpointConfigName="theirs-config")
    while (failed := listed("failed")).status == "Creating":
        time.sleep(0.05)
    described = client.describe_endpoint(EndpointName="failed")
    seconds = (described["LastModifiedTime"] - described["CreationTime"]).total_seconds()
    price = price_of("ml.g5.xlarge", "us-east-1").usd_per_hour or 0
    assert failed.cost_so_far == pytest.approx(2 * price * seconds / 3_600)
    assert (failed.cost_so_far or 0) > 0


def test_without_its_configuration_an_endpoints_cost_is_unknown(aws: LocalRuntime) -> None:
    boto3.client("sagemaker").delete_endpoint_config(EndpointConfigName="theirs-config")
    theirs = listed("theirs")
    assert (theirs.instance_type, theirs.cost_so_far, theirs.bill.usd_per_hour) == (None, None, None)
    assert theirs.problems == ("its configuration is deleted, so its instances are not known",)


def test_an_endpoint_of_ours_that_was_updated_says_so(aws: LocalRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
    deploy("mine", **QUICK)

    def updated(send: Callable[[], dict[str, Any]], parameters: dict[str, Any]) -> dict[str, Any]:
        return send() | {"EndpointConfigName": "theirs-config"}

    replace_replies(monkeypatch, "DescribeEndpoint", updated)
    mine = listed("mine")
    assert (mine.cost_so_far, mine.instance_type) == (None, "ml.g5.xlarge")
    assert "it was updated" in mine.problems[-1]
