"""One model through all commands: pretrain, local-aws, deploy, complete, list, delete. boto3 has its usual settings."""

import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from sagechain.chains import code_completion
from sagechain.llms import load_llm

from tests import processes
from tests.processes import SAGECHAIN

TINY = ("-p", "layers=1", "-p", "width=32", "-p", "heads=2", "-p", "batch_tokens=128", "-p", "evaluations=1")


def sagechain(*arguments: str) -> str:
    """The output of a command that succeeds."""
    done = processes.run(SAGECHAIN, *arguments, server="torch")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """`sagechain local-aws` in another process, and the variables that it prints for export."""
    process = processes.start(
        SAGECHAIN, "local-aws", "--port", "0", "--folder", str(tmp_path / "runtime"), "--creating-seconds", "0.5",
        "--deleting-seconds", "0.2", server="torch",
    )  # fmt: skip
    exported: dict[str, str] = {}
    while "SAGECHAIN_ROLE" not in exported:
        line = process.stderr.readline()
        assert line, "local-aws ended"
        exported |= dict(re.findall(r"(\w+)=(\S+)", line)) if "export" in line else {}
    for name, value in exported.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SAGECHAIN_STATE", str(tmp_path / "state"))
    yield
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)


def test_a_model_is_pretrained_deployed_used_priced_and_deleted(served: None, tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    for number in range(30):
        text = "\n".join(f"    value_{line} = {number} * {line}" for line in range(number % 7 + 2))
        (code / f"module_{number}.py").write_text(f"def function_{number}(x):\n{text}\n    return x + {number}\n")
    out = tmp_path / "parrot"
    sagechain("pretrain", "run", str(code), "--out", str(out), "--vocab-size", "300", "--context", "32", "--workers", "1",
              "--tokens", "4000", *TINY)  # fmt: skip

    uri = sagechain("endpoints", "deploy", "parrot", str(out / "model"), "--ttl", "1h", "--poll-seconds", "0.1").strip()
    assert uri == "sagemaker:parrot"
    sagemaker = boto3.client("sagemaker")
    assert sagemaker.describe_endpoint(EndpointName="parrot")["EndpointStatus"] == "InService"

    given = ("-p", "max_new_tokens=8", "-p", "temperature=0", "def ")
    here = sagechain("complete", "-m", f"local:{out / 'model'}", *given)
    assert sagechain("complete", "-m", uri, *given) == here
    chain = code_completion(load_llm(uri, max_new_tokens=8, temperature=0))
    assert f"{chain.invoke('def ')}\n" == here

    rows = [json.loads(sagechain("endpoints", "list", "--json"))[-1] for _ in range(2)]
    assert [(row["name"], row["ours"], row["instance_type"], row["usd_per_hour"]) for row in rows] == [
        ("parrot", True, "ml.m5.xlarge", 0.23)
    ] * 2
    assert 0 < rows[0]["cost_so_far"] < rows[1]["cost_so_far"] < 0.23

    gone = sagechain("endpoints", "delete", "parrot", "--yes", "--poll-seconds", "0.1")
    assert gone == "endpoint parrot\nconfiguration parrot\nmodel parrot\n"
    left = {row["EndpointName"] for row in sagemaker.list_endpoints()["Endpoints"]}
    assert left == {"llama-2-7b-chat", "falcon-7b-instruct"}
