"""Long proofs, run by `make prove`; small copies of them are in the other tests."""

import json
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest
import yaml
from sagechain.chains import chain_of_thought, list_strategies, same_answer
from sagechain.llms import LlamaCppLLM, load_llm

from tests.mixed_load import check_mixed_load

pytestmark = [pytest.mark.prove, pytest.mark.timeout(900)]


def test_two_processes_fetch_the_model_from_its_real_source_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    command = [sys.executable, "-c", "from sagechain.llms.local.downloads import pull; print(pull('smollm2'))"]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate() for process in processes]
    path = tmp_path / "sagechain" / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
    assert [process.returncode for process in processes] == [0, 0]
    assert {output.strip() for output, _ in outputs} == {str(path)}
    assert sum("from the Hugging Face hub" in errors for _, errors in outputs) == 1
    assert load_llm(f"local:{path}").invoke("Hi", max_new_tokens=1)


def test_few_shot_chain_of_thought_is_the_best_of_the_strategies(llm: LlamaCppLLM) -> None:
    problems = yaml.safe_load((files("sagechain.apps.demo") / "word_problems.yaml").read_text(encoding="utf-8"))
    questions = [{"question": problem["question"]} for problem in problems]
    right = {}
    for strategy in list_strategies():
        found = chain_of_thought(llm, strategy=strategy).batch(questions)
        right[strategy] = sum(
            same_answer(r.answer, p["answer"], "number") for r, p in zip(found, problems, strict=True)
        )
    print(json.dumps({"right of 20": right}))
    assert max(right, key=lambda name: right[name]) == "few-shot-cot"


def test_6000_generations_of_mixed_load_leave_nothing_behind(llm: LlamaCppLLM) -> None:
    check_mixed_load(rounds=94)
