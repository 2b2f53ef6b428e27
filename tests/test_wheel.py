"""What a user gets by pip: the wheel has every file, and each extra alone installs what its part needs."""

import os
import subprocess
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.wheel import build_wheel, folders

ROOT = Path(__file__).parent.parent
SUFFIXES = {".jinja", ".py", ".pyi", ".typed", ".yaml"}


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def install(tmp_path: Path, wheel: Path) -> Callable[[str], Run]:
    """Install the wheel with these extras into an empty environment; the result runs a program there."""
    venv.create(tmp_path / "environment", with_pip=True)
    programs = tmp_path / "environment" / "bin"

    def run(program: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        command, empty = [str(programs / program), *arguments], subprocess.DEVNULL
        return subprocess.run(
            command, capture_output=True, text=True, check=False, env=environment, stdin=empty, cwd=tmp_path
        )

    def with_extras(extras: str) -> Run:
        options = ("-m", "pip", "install", "--quiet", "--constraint", str(ROOT / "constraints.txt"))
        done = run("python", *options, f"{wheel}{extras}")
        assert done.returncode == 0, done.stderr
        return run

    return with_extras


def test_the_wheel_contains_exactly_the_files_of_the_tree(wheel: Path) -> None:
    expected = {
        f"{package.replace('.', '/')}/{path.relative_to(ROOT / folder)}"
        for package, folder in folders().items()
        for path in (ROOT / folder).rglob("*")
        if path.suffix in SUFFIXES or path.name == "py.typed"
    }
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert found == expected
    assert {f"{package.replace('.', '/')}/py.typed" for package in folders()} <= found


@pytest.mark.prove
@pytest.mark.timeout(1800)
def test_without_extras_a_command_names_the_one_it_lacks_and_with_it_answers_without_torch(
    install: Callable[[str], Run], smollm2: Path
) -> None:
    run = install("")
    assert run("sagechain", "--version").stdout == "sagechain 0.1.0\n"
    assert run("python", "-m", "sagechain", "--version").stdout == "sagechain 0.1.0\n"
    without = run("sagechain", "ask", "Hi")
    assert (without.returncode, without.stdout) == (1, "")
    assert without.stderr.count("\n") == 1
    assert without.stderr.rstrip().endswith('sagechain-0.1.0-py3-none-any.whl[local]"')

    run = install("[local]")
    answered = run("sagechain", "ask", "What is the capital of France?", "-s", "Be brief.", "-p", "max_new_tokens=20")
    assert (answered.returncode, answered.stderr) == (0, "")
    assert answered.stdout.strip()
    assert "No module named 'torch'" in run("python", "-c", "import torch").stderr


CHECKPOINT = """
from sagechain.llms import load_llm
print(load_llm("local:{model}?engine=transformers", max_new_tokens=1).invoke("Hi"))
"""
STRUCTURED = """
from sagechain.llms import load_chat_model
schema = {{"title": "Answer", "type": "object", "properties": {{"yes": {{"type": "boolean"}}}}, "required": ["yes"]}}
chat = load_chat_model("local:{model}?engine=transformers", max_new_tokens=40, temperature=0)
assert chat.with_structured_output(schema).invoke("Is water wet?").keys() == {{"yes"}}
"""
THREADS = """
from sagechain.chains import open_store
with open_store("{database}") as store:
    assert store.threads() == []
"""
PREPARE = """
import email
from sagechain.pretraining import prepare
prepare(email.__path__[0], "data", vocab_size=300, context=32, workers=1)
"""


@pytest.mark.prove
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("extra", "code"),
    [
        ("transformers", CHECKPOINT),
        ("constrained", STRUCTURED),
        ("postgres", THREADS),
        ("pretraining", PREPARE),
    ],
)
def test_each_extra_alone_installs_everything_its_part_needs(
    install: Callable[[str], Run], smollm2: Path, database: str, extra: str, code: str
) -> None:
    done = install(f"[{extra}]")("python", "-c", code.format(model=smollm2, database=database))
    assert done.returncode == 0, done.stderr
