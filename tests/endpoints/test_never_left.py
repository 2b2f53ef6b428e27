"""Whatever goes wrong, no endpoint, configuration or model stays behind, and no resource of another owner is changed."""

import json
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from sagechain.endpoints import deploy, deployed, reap
from sagechain.llms import errors
from sagechain.local_aws import LocalRuntime

from tests.endpoints.account import FOREIGN, LONGER_THAN_CREATING, QUICK, there
from tests.endpoints.replies import replace_replies
from tests.processes import Process, start
from tests.waiting import wait_until

ENDPOINT, CONFIG, MODEL = "endpoint mine", "configuration mine", "model mine"
ALL = {ENDPOINT, CONFIG, MODEL}


@pytest.fixture(autouse=True)
def what_is_not_ours_survives(aws: LocalRuntime) -> Iterator[None]:
    yield
    aws.recover()
    assert there(only_ours=False) >= FOREIGN
    assert boto3.client("sagemaker").describe_endpoint(EndpointName="theirs")["EndpointStatus"] == "InService"


@dataclass(frozen=True)
class Case:
    """The failure, the error that the user gets, and the resources that remain until `reap`."""

    failures: tuple[tuple[str, str, int | None], ...]
    error: type[BaseException] | None
    message: str = ""
    left: frozenset[str] = frozenset()
    options: tuple[tuple[str, Any], ...] = ()
    in_block: bool = False
    """Whether the failures start when the endpoint is in service."""


def case(
    *failures: tuple[str, str, int | None],
    error: type[BaseException] | None = None,
    message: str = "",
    left: set[str] | frozenset[str] = frozenset(),
    in_block: bool = False,
    **options: Any,
) -> Case:
    return Case(failures, error, message, frozenset(left), tuple(options.items()), in_block)


CASES = {
    "the model is refused": case(
        ("CreateModel", "access-denied", None),
        error=errors.NotPermitted,
        message=r"not authorized to perform: sagemaker:CreateModel .*docs/endpoints\.md",
    ),
    "the role is missing": case(
        ("CreateModel", "missing-role", None),
        error=errors.RoleRefused,
        message=r"Could not assume role .*trusts sagemaker\.amazonaws\.com",
    ),
    "the configuration is refused": case(
        ("CreateEndpointConfig", "access-denied", None),
        error=errors.NotPermitted,
        message="sagemaker:CreateEndpointConfig",
    ),
    "the endpoint is refused": case(
        ("CreateEndpoint", "access-denied", None), error=errors.NotPermitted, message="sagemaker:CreateEndpoint"
    ),
    "the quota is used up": case(
        ("CreateEndpoint", "quota", None),
        error=errors.QuotaExceeded,
        message="'ml.g5.2xlarge for endpoint usage'.* Service Quotas, Amazon SageMaker",
    ),
    "no capacity": case(
        ("CreateEndpoint", "no-capacity", None),
        error=errors.DeploymentFailed,
        message="it is Failed: Unable to provision requested ML compute capacity",
    ),
    "the container is not healthy": case(
        ("CreateEndpoint", "bad-health-check", None),
        error=errors.DeploymentFailed,
        message="did not pass the ping health check.*CloudWatch",
    ),
    "the model does not fit": case(
        ("CreateEndpoint", "out-of-memory", None), error=errors.DeploymentFailed, message="ran out of memory"
    ),
    "it stays Creating": case(
        ("CreateEndpoint", "slow-create", 1),
        error=errors.LeftBehind,
        message="it is still Creating after .*still there: endpoint mine, configuration mine, model mine",
        left=ALL,
        timeout=0.2,
    ),
    "creating is throttled": case(("CreateModel", "throttled", 2), ("CreateEndpoint", "throttled", 2)),
    "describing is throttled": case(("DescribeEndpoint", "throttled", 2)),
    "the service fails once": case(("CreateEndpointConfig", "internal-failure", 1)),
    "the reply to the model is lost": case(("CreateModel", "reply-lost", 1)),
    "the reply to the endpoint is lost": case(("CreateEndpoint", "reply-lost", 1)),
    "deleting is throttled": case(("DeleteEndpoint", "throttled", 2), ("DeleteModel", "throttled", 2)),
    "deleting is slow": case(("DeleteEndpoint", "slow-delete", 1)),
    "the endpoint's deletion is refused": case(
        ("DeleteEndpoint", "access-denied", 1),
        error=errors.LeftBehind,
        message="still there: endpoint mine, configuration mine, model mine; .*sagemaker:DeleteEndpoint",
        left=ALL,
        in_block=True,
    ),
    "the configuration's deletion is refused": case(
        ("DeleteEndpointConfig", "access-denied", 1),
        error=errors.LeftBehind,
        message="still there: configuration mine, model mine; .*reap",
        left={CONFIG, MODEL},
        in_block=True,
    ),
    "the model's deletion fails again and again": case(
        ("DeleteModel", "internal-failure", 3),
        error=errors.LeftBehind,
        message="still there: model mine;",
        left={MODEL},
        in_block=True,
    ),
    "credentials have expired": case(
        ("DescribeEndpoint", "expired-token", None), error=errors.AccessDenied, message="expired"
    ),
    "the network is lost": case(
        *((operation, "reset", None) for operation in
          ("CreateEndpoint", "DescribeEndpoint", "DescribeEndpointConfig", "DescribeModel")),
        error=errors.LeftBehind,
        message="the connection failed.* still there: perhaps endpoint mine",
        left={CONFIG, MODEL},
    ),
}  # fmt: skip


def run_block(inside: Callable[[], None], **options: Any) -> None:
    with deployed("mine", **QUICK, **options):
        inside()


@pytest.mark.parametrize("name", CASES)
def test_a_failure_leaves_nothing_or_names_leftovers_that_reap_removes(name: str, aws: LocalRuntime) -> None:
    case = CASES[name]

    def start_failing() -> None:
        for failure in case.failures:
            aws.fail(*failure)

    if not case.in_block:
        start_failing()
    if case.error is None:
        with deployed("mine", **QUICK, **dict(case.options)) as endpoint:
            assert endpoint.status == "InService"
            assert there() == ALL
    else:
        with pytest.raises(case.error, match=case.message):
            run_block(start_failing, **dict(case.options))
    aws.recover()
    assert there() == case.left
    if "Creating" in name:
        aws.advance(LONGER_THAN_CREATING)
    assert set(reap(poll_seconds=0.02)) == case.left
    assert there() == set()
    assert reap(poll_seconds=0.02) == []


def test_credentials_that_expire_half_way_leave_what_the_error_names(
    aws: LocalRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def expire(send: Callable[[], dict[str, Any]], parameters: dict[str, Any]) -> dict[str, Any]:
        for operation in ("CreateEndpoint", "DescribeEndpoint", "DescribeEndpointConfig", "DescribeModel"):
            aws.fail(operation, "expired-token")
        return send()

    replace_replies(monkeypatch, "CreateEndpoint", expire)
    with pytest.raises(errors.LeftBehind, match=r"perhaps configuration mine, perhaps model mine; .*expired"):
        run_block(lambda: None)
    aws.recover()
    assert there() == {CONFIG, MODEL}
    assert set(reap(poll_seconds=0.02)) == {CONFIG, MODEL}


def test_an_error_in_the_block_is_raised_unchanged_after_the_deletion(aws: LocalRuntime) -> None:
    def block() -> None:
        with deployed("mine", **QUICK):
            assert there() == ALL
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        block()
    assert there() == set()


def test_a_second_deployment_of_the_name_does_not_hide_leftovers_of_the_first(aws: LocalRuntime) -> None:
    aws.fail("CreateEndpoint", "slow-create", 1)
    with pytest.raises(errors.LeftBehind):
        deploy("mine", **QUICK, timeout=0.2)
    with pytest.raises(errors.NameTaken):
        deploy("mine", **QUICK)
    aws.advance(LONGER_THAN_CREATING)
    assert set(reap(poll_seconds=0.02)) == ALL
    assert there() == set()


def test_an_endpoint_created_after_its_response_timed_out_is_deleted_too(
    aws: LocalRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    aws.fail("CreateEndpoint", "reply-lost", 1)
    with pytest.raises(errors.ConnectionFailed):
        deploy("mine", **QUICK)
    assert there() == set()


def test_a_failed_deletion_names_the_leftovers_with_the_blocks_error_as_cause(aws: LocalRuntime) -> None:
    def block() -> None:
        with deployed("mine", **QUICK):
            aws.fail("DeleteModel", "access-denied", 1)
            raise ZeroDivisionError

    with pytest.raises(errors.LeftBehind, match=r"ZeroDivisionError ended it\. still there: model mine") as caught:
        block()
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert reap(poll_seconds=0.02) == [MODEL]


def test_one_lost_response_does_not_undo_a_deployment(aws: LocalRuntime) -> None:
    aws.fail("DescribeEndpoint", "service-unavailable", 4)
    with deployed("mine", **QUICK) as endpoint:
        assert endpoint.status == "InService"
    assert there() == set()


# --- processes that end -----------------------------------------------------------------------------------------------

SCRIPT = """
import json, sys, time
from sagechain.endpoints import deploy, deployed
options = json.loads(sys.argv[2])
if sys.argv[1] == "deploy":
    deploy("mine", **options)
elif sys.argv[1] == "never left":
    block = deployed("mine", **options)
    block.__enter__()
    print("in service", flush=True)
else:
    with deployed("mine", **options):
        print("in service", flush=True)
        time.sleep(60)
"""


def started(how: str, **options: Any) -> Process:
    return start("-c", SCRIPT, how, json.dumps(QUICK | options))


def in_service(process: Process) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "in service\n"


def next_line(process: Process) -> str:
    assert process.stderr is not None
    return process.stderr.readline()


def creating() -> None:
    wait_until(lambda: there() == ALL, 60)


def output_of(process: Process) -> str:
    return process.communicate(timeout=30)[1]


def test_sigterm_in_the_block_deletes_all(aws: LocalRuntime) -> None:
    process = started("block")
    in_service(process)
    process.terminate()
    output_of(process)
    assert process.returncode == 128 + signal.SIGTERM
    wait_until(lambda: there() == set(), 60)  # it was not waited for, but deleted


def test_the_end_of_python_deletes_the_endpoint_of_an_unfinished_block(aws: LocalRuntime) -> None:
    process = started("never left")
    in_service(process)
    output_of(process)
    assert process.returncode == 0
    assert there() == set()


FORKS = """
import json, os, sys, time
from sagechain.endpoints import deployed
with deployed("mine", **json.loads(sys.argv[2])):
    if (child := os.fork()) == 0:
        {ending}
    os.waitpid(child, 0)
    print("child ended", flush=True)
    input()
"""


@pytest.mark.parametrize("ending", ["sys.exit(0)", "raise ZeroDivisionError", "raise KeyboardInterrupt"])
def test_a_forked_child_leaves_its_parents_endpoint_alone(ending: str, aws: LocalRuntime) -> None:
    process = start("-c", FORKS.format(ending=ending), "", json.dumps(QUICK))
    assert process.stdout.readline() == "child ended\n"
    assert reap(poll_seconds=0.02) == []
    assert there() == ALL
    process.communicate("\n", timeout=60)
    assert process.returncode == 0
    assert there() == set()


def test_ctrl_c_while_creating_waits_until_it_can_delete_and_deletes(aws: LocalRuntime) -> None:
    aws.fail("CreateEndpoint", "slow-create", 1)
    process = started("deploy")
    creating()
    process.send_signal(signal.SIGINT)
    wait_until(lambda: "cannot be deleted before that is over" in next_line(process), 60)
    aws.advance(LONGER_THAN_CREATING)
    output_of(process)
    assert process.returncode in (1, -signal.SIGINT)
    assert there() == set()


def test_a_second_ctrl_c_leaves_the_deletion_to_reap_with_a_message(aws: LocalRuntime) -> None:
    aws.fail("CreateEndpoint", "slow-create", 1)
    process = started("deploy")
    creating()
    process.send_signal(signal.SIGINT)
    wait_until(lambda: "cannot be deleted before that is over" in next_line(process), 60)
    process.send_signal(signal.SIGINT)
    assert "still there: endpoint mine, configuration mine, model mine. `sagechain endpoints reap`" in output_of(
        process
    )
    assert there() == ALL
    aws.advance(LONGER_THAN_CREATING)
    assert set(reap(poll_seconds=0.02)) == ALL
    assert there() == set()


def test_sigterm_while_creating_does_not_wait_and_reap_continues(aws: LocalRuntime) -> None:
    aws.fail("CreateEndpoint", "slow-create", 1)
    process = started("deploy")
    creating()
    process.terminate()
    assert "still there: endpoint mine, configuration mine, model mine" in output_of(process)
    aws.advance(LONGER_THAN_CREATING)
    assert set(reap(poll_seconds=0.02)) == ALL
    assert there() == set()


@pytest.mark.parametrize("how", ["deploy", "block"])
def test_after_kill_9_reap_deletes_the_leftovers(how: str, aws: LocalRuntime) -> None:
    if how == "deploy":
        aws.fail("CreateEndpoint", "slow-create", 1)
    process = started(how)
    creating() if how == "deploy" else in_service(process)
    assert reap(poll_seconds=0.02) == []  # its process lives
    process.kill()
    output_of(process)
    assert there() == ALL
    aws.advance(LONGER_THAN_CREATING)
    assert set(reap(poll_seconds=0.02)) == ALL
    assert there() == set()


def test_of_two_simultaneous_processes_one_deploys_and_the_other_changes_nothing(
    aws: LocalRuntime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = started("block")
    in_service(first)
    second = started("block")
    assert "another process is deploying or deleting 'mine'" in output_of(second)
    monkeypatch.setenv("SAGECHAIN_STATE", str(tmp_path / "of another machine"))
    elsewhere = started("block")
    assert "NameTaken" in output_of(elsewhere)
    assert there() == ALL
    first.terminate()
    output_of(first)
    wait_until(lambda: there() == set(), 60)  # the process ends before the runtime has deleted the endpoint
