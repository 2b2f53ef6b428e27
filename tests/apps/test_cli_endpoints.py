"""`sagechain endpoints catalogue`: the table, one model, its licence, and any other model of JumpStart."""

import json
import os
from collections.abc import Iterator

import pytest
from sagechain.endpoints import catalogue

from tests.apps.test_cli import run
from tests.endpoints.jumpstart_bucket import BUCKET, LLAMA, LMI, SPECS, contents, served
from tests.test_imports import NOT_FOR_HELP, loaded


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with served({BUCKET: contents(SPECS)}) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", address)
        yield


def test_the_table_has_one_line_per_model_with_its_price() -> None:
    done = run("endpoints", "catalogue")
    assert (done.returncode, done.stderr) == (0, "")
    heading, *lines = [line.split() for line in done.stdout.splitlines()]
    assert heading == ["model", "family", "wire", "weights", "instance", "in", "us-east-1", "licence"]
    assert [line[0] for line in lines] == [entry.model_id for entry in catalogue()]
    first = "llama2 tgi 12.6 GiB ml.g5.2xlarge $1.515/h Llama 2 Community License (to accept)"
    assert " ".join(lines[0][1:]) == first


def test_a_price_of_another_region_is_marked_and_explained_on_standard_error() -> None:
    done = run("endpoints", "catalogue", "--region", "eu-west-1")
    assert "~$1.515/h" in done.stdout
    assert done.stderr == "(~ the price of us-east-1, as that of eu-west-1 is not known here)\n"


def test_the_region_is_the_environment_s() -> None:
    done = run("endpoints", "catalogue", env={**os.environ, "AWS_DEFAULT_REGION": "us-west-2"})
    assert "in us-west-2" in done.stdout
    assert "~" not in done.stdout


def test_json_has_the_catalogue_s_fields_and_the_price() -> None:
    done = run("endpoints", "catalogue", "--json")
    assert done.stderr == ""
    entries = json.loads(done.stdout)
    assert [entry["model_id"] for entry in entries] == [entry.model_id for entry in catalogue()]
    assert entries[0]["usd_per_hour"] == 1.515
    assert entries[0]["instance_types"] == list(catalogue()[0].instance_types)


def test_one_model_is_shown_with_one_fact_per_line() -> None:
    done = run("endpoints", "catalogue", "huggingface-llm-falcon-7b-instruct-bf16")
    facts = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert (facts["wire"], facts["context"], facts["usd_per_hour"]) == ("tgi", "2048", "1.515")
    assert "eula" not in facts


def test_the_licence_is_shown_with_its_address_and_how_to_accept_it() -> None:
    address = f"https://{BUCKET}.s3.us-east-1.amazonaws.com/fmhMetadata/eula/llamaEula.txt"
    done = run("endpoints", "catalogue", LLAMA, "--eula")
    assert done.stdout == f"Llama 2 Community License: {address}\nRead it, then deploy with --accept-eula.\n"
    falcon = run("endpoints", "catalogue", "huggingface-llm-falcon-7b-instruct-bf16", "--eula").stdout
    assert falcon == "Apache-2.0: none has to be accepted before deploying.\n"
    as_json = run("endpoints", "catalogue", LLAMA, "--eula", "--json").stdout
    assert json.loads(as_json) == {"model_id": LLAMA, "license": "Llama 2 Community License", "eula": address}


def test_any_other_model_is_looked_up_in_jumpstart_s_files(bucket: None) -> None:
    done = run("endpoints", "catalogue", LLAMA, "--jumpstart", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    spec = json.loads(done.stdout)
    assert (spec["version"], spec["wire"], spec["image"], spec["usd_per_hour"]) == ("4.27.0", "lmi", LMI, 25.2513)
    shown = run("endpoints", "catalogue", "example-llm-without-a-name", "--jumpstart").stdout
    assert "wire               messages\n" in shown
    licence = run("endpoints", "catalogue", LLAMA, "--jumpstart", "--eula").stdout
    assert licence.startswith(f"The licence: https://{BUCKET}.")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--eula"], 2, "give a MODEL_ID with --eula and --jumpstart"),
        (["meta-textgeneration-llama-2-7b"], 2, f"Did you mean '{LLAMA}'?"),
        (["huggingface-llm-falcon", "--jumpstart"], 2, "is not in JumpStart's manifest of us-east-1. Did you mean"),
        (["private-llm", "--jumpstart"], 1, f"s3://{BUCKET}/private.json is not public"),
    ],
)
def test_a_mistake_is_one_line_on_standard_error(bucket: None, arguments: list[str], code: int, words: str) -> None:
    done = run("endpoints", "catalogue", *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert words in " ".join(done.stderr.split())


def test_the_catalogue_needs_no_aws_library() -> None:
    script = "sys.argv = ['sagechain', 'endpoints', 'catalogue', '--json']\nfrom sagechain.apps.cli import main\nmain()"
    assert loaded(script) & NOT_FOR_HELP == set()
