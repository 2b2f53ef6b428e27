"""Records of unfinished deployments: of dead and living processes, of other machines, regions and accounts."""

import errno
import fcntl
import io
import json
import os
import shutil
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from sagechain.endpoints import delete, deploy, list_endpoints, reap
from sagechain.llms import errors
from sagechain.local_aws import LocalRuntime

from tests import processes
from tests.endpoints.account import QUICK, there
from tests.endpoints.replies import replace_replies
from tests.processes import SAGECHAIN, Process, start

ALL = {"endpoint mine", "configuration mine", "model mine"}
SCRIPT = """
import json, socket, sys, time
options, host = json.loads(sys.argv[1])
if host:
    socket.gethostname = lambda: host
from sagechain.endpoints import deployed
with deployed("mine", **options):
    print("in service", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def state(aws: LocalRuntime) -> Path:
    return Path(os.environ["SAGECHAIN_STATE"])


def in_service(host: str = "", **options: Any) -> Process:
    process = start("-c", SCRIPT, json.dumps([QUICK | options, host]))
    assert process.stdout.readline() == "in service\n"
    return process


def killed(host: str = "", **options: Any) -> None:
    process = in_service(host, **options)
    process.kill()
    process.communicate()


@pytest.fixture
def living(aws: LocalRuntime) -> Iterator[Process]:
    process = in_service()
    yield process
    process.kill()
    process.communicate()


def change_record(state: Path, **changes: Any) -> Path:
    (path,) = (state / "endpoints").glob("*.json")
    content = json.loads(path.read_text(encoding="utf-8"))
    for name, value in changes.items():
        (content if name in content else content["process"])[name] = value
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_what_a_process_left_in_another_region_is_deleted_by_reap(aws: LocalRuntime) -> None:
    killed(region="eu-west-1")
    assert set(reap(poll_seconds=0.02)) == ALL
    rows = boto3.client("sagemaker", region_name="eu-west-1").list_models()["Models"]
    assert "mine" not in [row["ModelName"] for row in rows]


def test_reap_of_one_region_reports_what_is_left_in_another(
    aws: LocalRuntime, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    killed(region="eu-west-1")
    assert reap(region="us-east-1", poll_seconds=0.02) == []
    told = capsys.readouterr().err
    assert "Left behind by a process that died: endpoint mine (region eu-west-1, account 000000000000" in told
    assert "`sagechain endpoints reap --region eu-west-1` deletes it" in told
    assert set(reap(region="eu-west-1", poll_seconds=0.02)) == ALL


@pytest.mark.parametrize(
    "changes", [{"account": "111122223333"}, {"address": "https://api.sagemaker.us-east-1.amazonaws.com"}]
)
def test_what_is_left_in_another_account_or_at_another_address_is_reported_and_kept(
    changes: dict[str, str], aws: LocalRuntime, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    killed()
    path = change_record(state, **changes)
    assert reap(poll_seconds=0.02) == []
    (value,) = changes.values()
    for told in (capsys.readouterr().err, processes.run(SAGECHAIN, "endpoints", "list").stderr):
        assert "endpoint mine" in told
        assert value in told
        assert str(path) in told
    assert path.exists()
    assert there() == ALL


def test_the_live_deployment_of_another_machine_is_left_alone_and_reported(
    aws: LocalRuntime, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    killed(host="other-machine")  # its lock is as free as that of a living process on another machine
    assert reap(poll_seconds=0.02) == []
    assert "The machine other-machine is working on endpoint mine" in capsys.readouterr().err
    assert there() == ALL


def test_the_record_of_an_earlier_boot_of_this_machine_is_abandoned(aws: LocalRuntime, state: Path) -> None:
    killed()
    change_record(state, boot="another", pid=os.getpid())
    assert set(reap(poll_seconds=0.02)) == ALL


def test_a_living_process_is_recognised_where_its_lock_is_not_seen(
    living: Process, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(state, tmp_path / "without-locks", ignore=shutil.ignore_patterns("*.lock"))
    monkeypatch.setenv("SAGECHAIN_STATE", str(tmp_path / "without-locks"))
    assert reap(poll_seconds=0.02) == []
    assert there() == ALL
    change_record(tmp_path / "without-locks", started="1")  # a process that has the id of a dead one
    assert set(reap(poll_seconds=0.02)) == ALL


def test_a_record_names_the_machine_and_its_boot(living: Process, state: Path) -> None:
    (path,) = (state / "endpoints").glob("*.json")
    process = json.loads(path.read_text(encoding="utf-8"))["process"]
    assert (process["host"], process["pid"]) == (socket.gethostname(), living.pid)
    assert process["boot"] == Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()


def test_what_a_living_process_gave_up_is_left_to_any_other(aws: LocalRuntime, state: Path) -> None:
    script = SCRIPT.replace("    time.sleep(60)", "").replace(
        "with ", "import contextlib\nwith contextlib.suppress(Exception), "
    )
    script += "\nprint('ended', flush=True)\ntime.sleep(60)"
    aws.fail("CreateEndpoint", "slow-create", 1)
    process = start("-c", script, json.dumps([QUICK | {"timeout": 0.2}, ""]))
    assert process.stdout.readline() == "ended\n"
    aws.advance(1_000)
    assert set(reap(poll_seconds=0.02)) == ALL
    process.kill()
    process.communicate()


def test_a_file_that_is_not_a_record_ends_nothing(
    aws: LocalRuntime, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (state / "endpoints").mkdir(parents=True, exist_ok=True)
    numbers = json.dumps(dict.fromkeys(("name", "region", "account", "address", "identity"), 5))
    texts = (numbers, "[]", "{", '{"name": "x"}', '{"process": 5}', "\udcff")
    for name, text in enumerate(texts):
        (state / "endpoints" / f"{name}.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert reap(poll_seconds=0.02) == []
    assert capsys.readouterr().err.count("cannot be read") == len(texts)
    assert [each.name for each in list_endpoints()] == ["theirs"]


def test_what_reap_reports_on_a_terminal_has_no_control_characters(
    aws: LocalRuntime, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (state / "endpoints").mkdir(parents=True)
    (state / "endpoints" / "a\x1b]52;c;eA==\x07.json").write_text("[]")
    monkeypatch.setattr(sys, "stderr", terminal := io.StringIO())
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    assert reap(poll_seconds=0.02) == []
    assert r"a\x1b]52;c;eA==\x07.json cannot be read" in terminal.getvalue()
    assert "\x1b]" not in terminal.getvalue()


def test_records_are_readable_by_their_owner_only(living: Process, state: Path) -> None:
    [record] = (state / "endpoints").glob("*.json")
    assert [each.stat().st_mode & 0o777 for each in (record.parent, record)] == [0o700, 0o600]


@contextmanager
def a_journal_without(what: str) -> Iterator[None]:
    """`space` on its disk, or `locks` in its file system. The runtime's own files, of other threads, have both."""
    functions: dict[str, Callable[..., None]] = {"space": os.fsync, "locks": fcntl.flock}
    function = functions[what]

    def fail(*arguments: Any) -> None:
        if threading.current_thread() is not threading.main_thread():
            function(*arguments)
            return
        raise OSError({"space": errno.ENOSPC, "locks": errno.ENOLCK}[what], f"no {what}")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(*{"space": (os, "fsync"), "locks": (fcntl, "flock")}[what], fail)
        yield


@pytest.mark.parametrize("what", ["space", "locks"])
def test_without_a_journal_nothing_is_deployed_but_what_is_there_is_deleted(what: str, aws: LocalRuntime) -> None:
    deploy("mine", **QUICK)
    with a_journal_without(what):
        with pytest.raises(errors.LLMError, match=rf"journal .* cannot be written: .*no {what}.* SAGECHAIN_STATE"):
            deploy("other", **QUICK)
        assert there() == ALL
        assert set(delete("mine", poll_seconds=0.02)) == ALL


def test_a_disk_that_fills_while_deploying_leaves_nothing(aws: LocalRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
    with ExitStack() as stack:

        def fill(send: Callable[[], dict[str, Any]], parameters: dict[str, Any]) -> dict[str, Any]:
            stack.enter_context(a_journal_without("space"))
            return send()

        replace_replies(monkeypatch, "CreateEndpoint", fill)
        with pytest.raises(errors.LLMError, match="journal of unfinished deployments cannot be written"):
            deploy("mine", **QUICK)
        assert there() == set()


def test_a_record_that_cannot_be_locked_is_reported_and_kept(
    aws: LocalRuntime, capsys: pytest.CaptureFixture[str]
) -> None:
    killed()
    with a_journal_without("locks"):
        assert reap(poll_seconds=0.02) == []
    assert "is not deleted: the journal of unfinished deployments cannot be written" in capsys.readouterr().err
    assert there() == ALL


def test_records_are_synced_by_a_handle_that_may_write(aws: LocalRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
    modes = []
    monkeypatch.setattr(os, "fsync", lambda handle: modes.append(fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_ACCMODE))
    deploy("mine", **QUICK)
    assert modes
    assert os.O_RDONLY not in modes
