"""Importing is cheap: nothing heavy is loaded before it is needed. Figures: `make bench`."""

import json
import subprocess
import sys

import pytest

HEAVY = {"torch", "transformers", "datasets", "sagemaker", "xllamacpp", "huggingface_hub"}
NOT_FOR_HELP = HEAVY | {"langchain_core", "langgraph", "langchain_aws", "boto3", "botocore", "starlette", "uvicorn"}


def loaded(script: str) -> set[str]:
    report = "atexit.register(lambda: print(json.dumps(sorted(sys.modules)), file=sys.stderr))"
    script = f"import atexit, json, sys\n{report}\n{script}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in json.loads(done.stderr.splitlines()[-1])}


@pytest.mark.parametrize(
    "package", ["sagechain.prompts", "sagechain.llms", "sagechain.chains", "sagechain.endpoints", "sagechain.apps"]
)
def test_importing_a_package_loads_none_of_the_libraries_below_it(package: str) -> None:
    assert loaded(f"import {package}") & NOT_FOR_HELP == set()


def test_the_help_loads_the_command_line_alone() -> None:
    script = "sys.argv = ['sagechain', '--help']\nfrom sagechain.apps.cli import main\nmain()"
    assert loaded(script) & NOT_FOR_HELP == set()


def test_chains_load_no_engine_and_no_aws() -> None:
    script = "from sagechain.chains import conversation, chain_of_thought\nfrom sagechain.llms import load_llm"
    assert loaded(script) & (HEAVY | {"langchain_aws", "boto3", "botocore"}) == set()


def test_a_local_model_loads_no_torch_and_no_aws(smollm2: object) -> None:
    script = f"from sagechain.llms import load_llm\nprint(load_llm('local:{smollm2}').invoke('Hi', max_new_tokens=1))"
    assert loaded(script) & {"torch", "transformers", "sagemaker", "langchain_aws", "boto3", "huggingface_hub"} == set()
