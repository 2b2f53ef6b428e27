"""Small prepared data and short runs, created once for all tests of training."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sagechain.pretraining import train
from sagechain.pretraining.manifest import file_sha256, files_sha256, write_manifest

if TYPE_CHECKING:
    from sagechain.pretraining.training.loop import BlockTrainer

WORDS = (
    "def",
    "return",
    "value",
    "index",
    "for",
    "in",
    "range",
    "if",
    "else",
    "total",
    "count",
    "name",
    "self",
    "x",
    "y",
)
# A model and a budget that take a second; 40 steps of 128 tokens.
TINY: dict[str, Any] = {
    "layers": 1, "width": 32, "heads": 2, "context": 32, "batch_tokens": 128, "evaluations": 2, "samples": False,
}  # fmt: skip


def function(number: int) -> str:
    """A small made-up function, another for each number."""
    drawn = random.Random(number)
    lines = [
        f"    {drawn.choice(WORDS)}_{drawn.randrange(20)} = {drawn.randrange(100)}"
        for _ in range(drawn.randrange(2, 9))
    ]
    return f"def function_{number}(x, y):\n" + "\n".join(lines) + "\n    return x + y\n"


def write_data(folder: Path, *, documents: int = 60, vocab_size: int = 400, context: int = 32) -> Path:
    """Prepared data as `prepare` writes it, without its corpus."""
    from sagechain.pretraining.data.tokenizer import token_ids, train_tokenizer

    texts = [function(number) for number in range(documents)]
    tokenizer = train_tokenizer(texts, vocab_size=vocab_size, context=context)
    tokenizer.save_pretrained(folder / "tokenizer")
    (folder / "tokens").mkdir()
    bytes_per_token, splits = {}, {}
    for split, part in (("train", texts[: documents * 3 // 4]), ("validation", texts[documents * 3 // 4 :])):
        ids = [token for tokens in token_ids(tokenizer, part) for token in [*tokens, tokenizer.eos_token_id]]
        half = len(ids) // 2
        for number, piece in enumerate((ids[:half], ids[half:])):
            np.array(piece, "<u2").tofile(folder / "tokens" / f"{split}-{number:05d}.bin")
        bytes_per_token[split] = sum(len(text.encode()) for text in part) / len(ids)
        splits[split] = {"tokens": len(ids)}
    files = sorted((folder / "tokens").glob("*.bin"))
    prepared = {
        "stage": "prepare", "done": True, "source": "functions", "vocabulary": len(tokenizer), "context": context,
        "bytes_per_token": bytes_per_token, "splits": splits, "tokens_sha256": files_sha256(files),
        "tokenizer_sha256": file_sha256(folder / "tokenizer" / "tokenizer.json"),
    }  # fmt: skip
    write_manifest(folder, prepared)
    return folder


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """An empty folder for code."""
    folder = tmp_path / "code"
    folder.mkdir()
    return folder


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared data of 60 small functions."""
    return write_data(tmp_path_factory.mktemp("pretraining") / "data")


@pytest.fixture(scope="session")
def write_other_data() -> Callable[..., Path]:
    """Makes prepared data of another size."""
    return write_data


@pytest.fixture(scope="session")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of 40 steps."""
    return train(data, tmp_path_factory.mktemp("runs") / "run", tokens=5_120, **TINY)


BeforeStep = Callable[[Callable[["BlockTrainer"], None]], None]


@pytest.fixture
def before_step(monkeypatch: pytest.MonkeyPatch) -> BeforeStep:
    """Have a function called with the trainer before each training step."""
    from sagechain.pretraining.training.loop import BlockTrainer

    training_step = BlockTrainer.training_step

    def install(action: Callable[[BlockTrainer], None]) -> None:
        def step(trainer: BlockTrainer, *args: Any, **options: Any) -> Any:
            action(trainer)
            return training_step(trainer, *args, **options)

        monkeypatch.setattr(BlockTrainer, "training_step", step)

    return install


@pytest.fixture
def frequent_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checkpoints at every 4 % of the budget, however short the time in between."""
    from sagechain.pretraining.training import schedule

    monkeypatch.setattr(schedule, "CHECKPOINT_SECONDS", 0.0)
