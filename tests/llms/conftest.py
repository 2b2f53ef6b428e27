"""A tiny GPT-2 with random weights and the embedded model in transformers; the outcomes of LangChain's standard tests."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sagechain.llms import HuggingFaceLLM, load_llm

from tests.llms.checkpoints import load_exactly
from tests.scripted_server import ScriptedServer
from tests.standard_counts import Outcomes

OUTCOMES = pytest.StashKey[Outcomes]()

CORPUS = [
    "the quick brown fox jumps over the lazy dog",
    "def add(a, b):\n    return a + b\n",
    "naïve café 日本語 😀",
] * 20


def pytest_configure(config: pytest.Config) -> None:
    config.stash[OUTCOMES] = Outcomes()
    config.pluginmanager.register(config.stash[OUTCOMES])


@pytest.fixture(scope="session")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """128 positions, 400 tokens, no chat template; its weights are wide, so no two tokens are equally likely."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("checkpoints") / "tiny-gpt2"
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    wrapped: Any = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>")  # type: ignore[no-untyped-call]
    wrapped.save_pretrained(folder)
    torch.manual_seed(0)
    size: dict[str, Any] = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 128, "vocab_size": 400}
    config = GPT2Config(**size, initializer_range=0.5, bos_token_id=0, eos_token_id=0)
    GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny(gpt2: Path) -> HuggingFaceLLM:
    """The tiny GPT-2 in float32."""
    return load_exactly(gpt2)


@pytest.fixture(scope="session")
def converted(smollm2: Path) -> HuggingFaceLLM:
    """The embedded model in transformers, converted once for all runs."""
    model = load_llm(f"local:{smollm2}?engine=transformers&context=2048")
    assert isinstance(model, HuggingFaceLLM)
    return model


@pytest.fixture(scope="session")
def scripted_server() -> Iterator[ScriptedServer]:
    with ScriptedServer().running() as server:
        yield server


@pytest.fixture
def server(scripted_server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> ScriptedServer:
    """A server of SageMaker's runtime that sends what the test gives it; boto3 finds its address."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", scripted_server.url)
    return scripted_server
