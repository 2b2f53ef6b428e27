"""`sagechain endpoints deploy | list | delete | reap`: what a person sees, and what a program reads."""

import json
import subprocess
from pathlib import Path

import boto3
import pytest
from sagechain.endpoints import deploy
from sagechain.local_aws import LocalRuntime

from tests import processes
from tests.endpoints.account import IMAGE, QUICK, aws, changes, there
from tests.pretraining.runs import write_run
from tests.processes import SAGECHAIN

__all__ = ["aws"]

ALL = {"endpoint mine", "configuration mine", "model mine"}
GIVEN = ("--image", IMAGE, "--instance-type", "ml.g5.2xlarge", "--family", "falcon", "--poll-seconds", "0.02")


def endpoints(*arguments: str, typed: str = "") -> "subprocess.CompletedProcess[str]":
    return processes.run(SAGECHAIN, "endpoints", *arguments, input=typed)


def test_deploy_list_delete(aws: LocalRuntime) -> None:
    done = endpoints("deploy", "mine", *GIVEN, "--ttl", "90m")
    assert (done.returncode, done.stdout) == (0, "sagemaker:mine\n")
    assert "mine: creating the endpoint\nmine: Creating" in done.stderr
    assert "mine is in service, at $1.515/h, until " in done.stderr
    shown = endpoints("list")
    lines = shown.stdout.splitlines()
    assert " ".join(lines[0].split()) == ("endpoint status family wire instance age price so far time left deployed by")
    assert lines[1].split()[:7] == ["theirs", "InService", "–", "–", "2", "×", "ml.g5.xlarge"]
    assert lines[1].split()[-1] == "others"
    assert lines[2].split()[:7] == ["mine", "InService", "falcon", "tgi", "1", "×", "ml.g5.2xlarge"]
    assert "1 h 29 min" in lines[2]
    rows = json.loads(endpoints("list", "--json").stdout)
    assert [row["name"] for row in rows] == ["theirs", "mine"]
    assert rows[1]["usd_per_hour"] == 1.515
    assert 0 < rows[1]["cost_so_far"] < 0.1
    gone = endpoints("delete", "mine", "--yes", "--poll-seconds", "0.02")
    assert (gone.returncode, gone.stdout) == (0, "endpoint mine\nconfiguration mine\nmodel mine\n")
    assert there() == set()


def test_a_dry_run_prints_every_request_and_the_price_and_sends_nothing(aws: LocalRuntime, tmp_path: Path) -> None:
    model = write_run(tmp_path / "run") / "model"
    before = len(aws.requests)
    done = endpoints("deploy", "parrot", str(model), "--dry-run")
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert [list(request) for request in shown["requests"]] == [
        ["create_model"], ["create_endpoint_config"], ["create_endpoint"],
    ]  # fmt: skip
    assert shown["usd_per_hour"] == 0.23
    assert shown["upload"]["from"] == str(model)
    assert "Nothing was sent to AWS. It would cost $0.230 an hour." in done.stderr
    assert len(aws.requests) == before


def test_an_expensive_or_unpriced_deployment_needs_confirmation(aws: LocalRuntime) -> None:
    before = changes(aws)
    for instance, price in (("ml.p4d.24xlarge", "$25.251 an hour"), ("ml.p6-b200.48xlarge", "an unknown price")):
        done = endpoints("deploy", "mine", *GIVEN, "--instance-type", instance)
        assert done.returncode == 2
        assert f"{instance} costs {price}" in done.stderr
        assert "confirm with --yes" in done.stderr
    assert changes(aws) == before


def test_a_foreign_endpoint_is_deleted_only_with_force_and_its_name_typed(aws: LocalRuntime) -> None:
    before = changes(aws)
    refused = endpoints("delete", "theirs", "--yes")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.endswith("theirs: sagechain did not deploy it; nothing was changed. To delete it all the same, "
                                   "use `--force`.\n")  # fmt: skip
    assert endpoints("delete", "theirs", "--force", "--yes", typed="their\n").returncode == 2
    assert changes(aws) == before
    done = endpoints("delete", "theirs", "--force", "--poll-seconds", "0.02", typed="theirs\n")
    assert done.stdout == "endpoint theirs\nconfiguration theirs-config\nmodel theirs-model\n"


def test_without_a_terminal_delete_requires_yes(aws: LocalRuntime) -> None:
    deploy("mine", **QUICK)
    done = endpoints("delete", "mine")
    assert done.returncode == 2
    assert "confirm with --yes" in done.stderr
    assert there() == ALL


def test_reap_prints_what_it_deleted(aws: LocalRuntime) -> None:
    deploy("mine", **QUICK, ttl="1s")
    arn = boto3.client("sagemaker").describe_endpoint(EndpointName="mine")["EndpointArn"]
    over = {"Key": "sagechain:expires-at", "Value": "2001-01-01T00:00:00Z"}
    boto3.client("sagemaker").add_tags(ResourceArn=arn, Tags=[over])
    assert "over: reap" in endpoints("list").stdout
    done = endpoints("reap", "--poll-seconds", "0.02")
    assert (done.returncode, done.stdout) == (0, "endpoint mine\nconfiguration mine\nmodel mine\n")


def test_the_next_command_deletes_leftovers_of_a_killed_one(aws: LocalRuntime) -> None:
    script = (
        f"from sagechain.endpoints import deployed\nwith deployed('mine', **{QUICK!r}):\n print(flush=True)\n input()"
    )
    process = processes.start("-c", script)
    process.stdout.readline()
    process.kill()
    process.communicate()
    assert there() == ALL
    done = endpoints("list", "--json")
    assert [row["name"] for row in json.loads(done.stdout)] == ["theirs"]
    assert (
        "Left behind by a process that died, and deleted now: endpoint mine, configuration mine, model mine."
        in done.stderr
    )


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("deploy", "a_b", *GIVEN), 2, "sagechain: NAME: 'a_b' is not a name"),
        (("deploy", "mine", "huggingface-llm-falcon-7b-instruct-bf61"), 2, "Did you mean"),
        (("deploy", "mine", *GIVEN, "--ttl", "long"), 2, "ttl: 'long' is not a duration"),
        (("deploy", "mine", *GIVEN, "-e", "X"), 2, "-e 'X' is not NAME=TEXT"),
        (("delete", "nowhere", "--yes"), 1, "nowhere: no endpoint, configuration or model has that name."),
    ],
)
def test_a_mistake_is_one_line_and_an_exit_code(
    arguments: tuple[str, ...], code: int, message: str, aws: LocalRuntime
) -> None:
    done = endpoints(*arguments)
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_failure_during_the_deployment_is_a_one_line_error(aws: LocalRuntime) -> None:
    aws.fail("CreateEndpoint", "quota")
    done = endpoints("deploy", "mine", *GIVEN)
    assert done.returncode == 1
    assert "'ml.g5.2xlarge for endpoint usage'" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("sagechain: mine: The account-level service limit")
    assert there() == set()
