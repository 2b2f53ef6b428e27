"""The command as a process: standard output, standard error and exit code."""

import os
import signal
import subprocess
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from sagechain.chains import extract_answer
from sagechain.local_aws import LocalRuntime

from tests import processes
from tests.conftest import FALCON, FALCON_URI, LLAMA, LLAMA_URI
from tests.processes import SAGECHAIN, Process
from tests.waiting import wait_until


def run(*arguments: str, stdin: str = "", **options: Any) -> "subprocess.CompletedProcess[str]":
    return processes.run(SAGECHAIN, *arguments, input=stdin, **options)


def test_ask_prints_the_answer_and_nothing_else_on_standard_output(smollm2: Path) -> None:
    done = run("ask", "Say hello.", "-p", "max_new_tokens=200", "-s", "Be brief.")
    assert done.returncode == 0
    assert done.stdout.strip()
    assert done.stderr == ""


def test_ask_puts_standard_input_below_the_question(runtime: LocalRuntime) -> None:
    done = run(
        "ask",
        "Sum up:",
        "-m",
        FALCON_URI,
        "-p",
        "max_new_tokens=2",
        "-p",
        "stop=zz",
        "-p",
        "stop=yy",
        stdin="Some text.\n",
    )
    assert done.returncode == 0
    assert b'"inputs": "User: Sum up:\\n\\nSome text.\\nAssistant:"' in runtime.requests[-1].body
    assert b'"stop": ["zz", "yy", ' in runtime.requests[-1].body
    assert "it reached the token limit" in done.stderr


def test_the_environment_may_name_the_model(runtime: LocalRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGECHAIN_MODEL", FALCON_URI)
    assert run("ask", "Hi", "-p", "max_new_tokens=2").returncode == 0
    assert runtime.requests[-1].path == f"/endpoints/{FALCON}/invocations-response-stream"


def test_chat_reads_a_turn_a_line_remembers_and_forgets(runtime: LocalRuntime) -> None:
    lines = "My name is Ada.\nHello.\n/reset\nHi.\n/exit\nnever sent\n"
    before = len(runtime.requests)
    done = run(
        "chat", "-m", LLAMA_URI, "-p", "accept_eula=true", "-p", "max_new_tokens=8", "-s", "Be kind.", stdin=lines
    )
    assert done.returncode == 0
    sent = [request.body for request in runtime.requests[before:]]
    assert [b"Ada" in body for body in sent] == [True, True, False]
    assert all(b"Be kind." in body for body in sent)
    assert "(forgotten)" in done.stderr


def test_solve_prints_only_the_answer_on_standard_output(smollm2: Path) -> None:
    done = run("solve", "A pen costs 3 dollars. Max buys 5 pens. How many dollars does he pay?")
    assert (done.returncode, done.stdout) == (0, f"{extract_answer(done.stderr, 'number')}\n")
    assert "The answer is" in done.stderr


def test_models_lists_and_pulls(smollm2: Path) -> None:
    done = run("models", "list")
    assert done.stdout.startswith("local:smollm2  98 MB  Apache-2.0")
    assert str(smollm2) in done.stdout
    assert run("models", "pull", "smollm2").stdout.strip() == str(smollm2)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["ask"], 2, "give a question"),
        (["ask", "Hi", "-p", "temperature"], 2, "not NAME=VALUE"),
        (["ask", "Hi", "-p", "temprature=1"], 2, "Did you mean 'temperature'"),
        (
            ["ask", "Hi", "-p", "temperature=-1"],
            2,
            "sagechain: -p temperature: -1 is not a number of at least 0",
        ),
        (["ask", "Hi", "-m", "local:/no/file"], 2, "the file '/no/file' does not exist"),
        (["ask", "Hi", "-m", "sagemaker:x?family=falcn"], 2, "Did you mean 'falcon'"),
        (["ask", "Hi", "-p", "uri=1"], 2, "'uri' is unknown"),
        (["ask", "Hi", "-p", "client=1"], 2, "-p client"),
        (["ask", "Hi", "-p", "seed=1", "-p", "seed=2"], 2, "given twice"),
        (["ask", "Hi", "--nonsense"], 2, "No such option"),
        (["solve", "Hi", "--strategy", "guess"], 2, "strategy: 'guess' is unknown"),
        (["complete"], 2, "give the start of some code"),
        (["complete", "x", "--until", "lin"], 2, "until: 'lin' is unknown. Did you mean 'line'?"),
        (["complete", "x", "--candidates", "0"], 2, "--candidates: Input should be greater than or equal to 1"),
        (["complete", "x", "-p", "num_beams=2", "-m", FALCON_URI], 2, "num_beams: the tgi wire does not carry it"),
        (["models", "pull", "smollm3"], 2, "Did you mean 'smollm2'"),
        (["local-aws", "x"], 2, "no wire is given"),
        (["local-aws", "--fail", "CreateEndpoint=qota"], 2, "Did you mean 'quota'"),
        (["ask", "Hi", "-m", LLAMA_URI], 1, "accept_eula"),
        (["ask", "Hi", "-m", "sagemaker:nowhere?family=falcon"], 1, "Endpoint nowhere of account"),
    ],
)
def test_a_mistake_is_one_line_on_standard_error_and_an_exit_code(
    runtime: LocalRuntime, arguments: list[str], code: int, words: str
) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert words in " ".join(done.stderr.replace("│", " ").split())
    assert "Traceback" not in done.stderr


def test_a_broken_pipe_is_silent(runtime: LocalRuntime) -> None:
    line = f"{SAGECHAIN} ask 'Tell a story.' -m '{FALCON_URI}' -p max_new_tokens=100 </dev/null"
    done = subprocess.run(
        ["bash", "-c", f"{line} | true; echo ${{PIPESTATUS[0]}}"], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("141\n", "")


def test_the_version_is_printed() -> None:
    assert run("--version").stdout == "sagechain 0.1.0\n"


@pytest.mark.parametrize("command", ["ask", "chat", "solve", "local-aws", "models pull", "demo", "threads list"])
def test_the_help_of_a_command_has_an_example_of_it(command: str) -> None:
    assert f"\n  {command.split()[0]} " in run("--help").stdout
    assert f"Example: sagechain {command}" in run(*command.split(), "--help").stdout


def start(*arguments: str) -> Process:
    return processes.start(SAGECHAIN, *arguments)


def test_local_aws_prints_its_address_and_ends_on_ctrl_c(smollm2: Path) -> None:
    served = start("local-aws", "--port", "0", "my-falcon?family=falcon")
    assert served.stderr is not None
    first = served.stderr.readline()
    assert first.startswith("Serving my-falcon at http://127.0.0.1:")
    url = first.split(" at ")[1].split(" ")[0]
    with urlopen(f"{url}/ping", timeout=60) as reply:
        assert reply.status == 200
    served.send_signal(signal.SIGINT)
    served.communicate(timeout=60)
    assert served.returncode == 130


@pytest.mark.parametrize(
    ("command", "generations"),
    [
        (["ask", "Tell a long story."], 1),
        (["chat"], 1),
        (["solve", "Tell a long story."], 1),
        (["complete", "Once upon a time", "--until", "end"], 1),
        (["complete", "Once upon a time", "--until", "end", "--candidates", "3"], 3),
    ],
)
def test_ctrl_c_ends_a_command_and_its_generations_on_the_server(
    runtime: LocalRuntime, seconds_to_stop: float, command: list[str], generations: int
) -> None:
    process = start(*command, "-m", FALCON_URI, "-p", "max_new_tokens=1200", "-p", "temperature=2.0")
    assert process.stdin is not None
    process.stdin.write("Tell a long story.\n")
    process.stdin.close() if command[0] != "chat" else process.stdin.flush()
    wait_until(lambda: runtime.generating == generations, 60)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    wait_until(lambda: runtime.generating == 0, seconds_to_stop)
    assert process.stderr is not None
    assert "Traceback" not in process.stderr.read()
    for pipe in (process.stdout, process.stderr):
        assert pipe is not None
        pipe.close()


def test_ctrl_c_ends_a_local_answer(smollm2: Path) -> None:
    process = start("ask", "Tell a long story.", "-p", "temperature=2.0", "-p", "seed=1")
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    assert process.stdout.read(1)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.stdout.close()
    process.stderr.close()


def test_ctrl_c_at_the_prompt_of_a_chat_ends_it(smollm2: Path) -> None:
    process = start("chat", "-p", "max_new_tokens=2")
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("Hi\n")
    process.stdin.flush()
    assert process.stdout.readline().endswith("\n")
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    for pipe in (process.stdin, process.stdout, process.stderr):
        assert pipe is not None
        pipe.close()


def test_a_client_that_disconnects_is_not_an_error_of_the_server(smollm2: Path) -> None:
    served = start("local-aws", "--port", "0")
    assert served.stderr is not None
    host = served.stderr.readline().split("http://")[1].split(" ")[0]
    leaving = HTTPConnection(host)
    body = '{"inputs": "Once upon a time", "parameters": {"max_new_tokens": 1500}}'
    leaving.request("POST", f"/endpoints/{FALCON}/invocations", body)
    with urlopen(f"http://{host}/ping", timeout=60) as reply:
        assert reply.status == 200
    leaving.close()
    # After one more answer the server has noticed that the first client left.
    staying = HTTPConnection(host)
    staying.request(
        "POST", f"/endpoints/{FALCON}/invocations", '{"inputs": "Hi", "parameters": {"max_new_tokens": 20}}'
    )
    assert staying.getresponse().status == 200
    staying.close()
    served.send_signal(signal.SIGINT)
    _, errors = served.communicate(timeout=60)
    assert "Traceback" not in errors


def test_a_port_in_use_is_a_one_line_error(runtime: LocalRuntime) -> None:
    port = runtime.url.rsplit(":", 1)[1]
    done = run("local-aws", "--port", port)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert "in use" in done.stderr
    assert os.environ["AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME"].endswith(port)


def test_the_default_endpoints_are_served(runtime: LocalRuntime) -> None:
    assert runtime.endpoints == (LLAMA, FALCON)


def test_local_aws_stores_deployments_and_fails_on_request(smollm2: Path, tmp_path: Path) -> None:
    folder = str(tmp_path / "stored")
    for turn in ("first", "second"):
        served = start("local-aws", "--port", "0", "--folder", folder, "--fail", "ListModels=throttled")
        assert served.stderr is not None
        lines = [served.stderr.readline() for _ in range(3)]
        url = lines[0].split(" at ")[1].split(" ")[0]
        assert f"  export AWS_ENDPOINT_URL={url} AWS_DEFAULT_REGION=us-east-1\n" == lines[2]
        s3 = boto3.client("s3", endpoint_url=url)
        if turn == "first":
            s3.create_bucket(Bucket="stored")
            second = run("local-aws", "--port", "0", "--folder", folder)
            assert (second.returncode, "another runtime uses" in second.stderr) == (1, True)
            with pytest.raises(ClientError, match="Rate exceeded"):
                boto3.client(
                    "sagemaker", endpoint_url=url, config=Config(retries={"total_max_attempts": 1})
                ).list_models()
        assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]] == ["stored"]
        served.send_signal(signal.SIGINT)
        served.communicate(timeout=60)


def test_local_aws_serves_a_container_in_awss_framing(runtime: LocalRuntime, smollm2: Path) -> None:
    served = start("local-aws", "--port", "0", "--upstream", runtime.url)
    assert served.stderr is not None
    first = served.stderr.readline()
    assert first.startswith("Serving upstream at http://127.0.0.1:")
    url = first.split(" at ")[1].split(" ")[0]
    done = run(
        "ask",
        "Hi",
        "-m",
        "sagemaker:upstream?wire=llama2-dialog",
        "-p",
        "max_new_tokens=3",
        env={**os.environ, "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": url},
    )
    served.send_signal(signal.SIGINT)
    served.communicate(timeout=60)
    assert done.returncode == 1
    assert "accept_eula" in done.stderr
