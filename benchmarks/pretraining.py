"""How good is a model after a fixed time of training, and how fast are a step and the preparation of data?

Question: what the recipe here gains over the Hugging Face course's own (its chapter on training a causal model from
scratch) and over a tuned AdamW, with the same model shape, tokenizer, text and seconds.

Method: the standard library, prepared once; then, for each seed in turn, each way for the same seconds of training
(evaluation not counted), evaluated on the whole validation split in bits per byte of its text. The course's way is its
`Trainer` as published: context 128, 32 sequences 8 times a step, AdamW at 5e-4, cosine, dropout 0.1, tails dropped; its
1,000 steps of warm-up, which would be longer than the run, are set to 5 % of it. Ceiling of a step: what this machine does
in plain products of matrices, measured in the same process.

    python benchmarks/pretraining.py                        # 75 s, three seeds
    python benchmarks/pretraining.py --seconds 300 --seeds 1
    python benchmarks/pretraining.py --only data            # the data alone
"""

import argparse
import email
import json
import os
import platform
import shutil
import statistics
import sysconfig
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from sagechain.pretraining import prepare, train

SHAPE: dict[str, Any] = {"layers": 4, "width": 256, "heads": 4}
OURS: dict[str, Any] = {"preset": "demo", "samples": False, "evaluations": 0}
# Tuned over 5e-4 to 3e-3 and 1 to 8 thousand tokens a step; 3e-3 loses 0.4 bits.
ADAMW: dict[str, Any] = OURS | {
    "optimizer": "adamw",
    "learning_rate": 1e-3,
    "embeddings": "random",
    "initial_deviation": 0.02,  # 0.04 loses 0.02 bits here
}
COURSE_CONTEXT, COURSE_SEQUENCES, COURSE_ACCUMULATED = 128, 32, 8
FEWER_TOKENS = 0.55
# A second has many steps of it on a slow machine too; one alone has no speed.
SMOKE: dict[str, Any] = {"layers": 1, "width": 64, "heads": 2, "batch_tokens": 256}
DATA_MEGABYTES = 50


def manifest(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return found


def course_tokens(tokenizer: Any, texts: list[str]) -> Any:
    """Texts as the course makes them tokens: `datasets.map` in batches, tails shorter than the context thrown away."""
    from datasets import Dataset, disable_progress_bars

    disable_progress_bars()

    def tokenize(element: dict[str, list[str]]) -> dict[str, Any]:
        outputs = tokenizer(
            element["content"],
            truncation=True,
            max_length=COURSE_CONTEXT,
            return_overflowing_tokens=True,
            return_length=True,
        )
        pairs = zip(outputs["length"], outputs["input_ids"], strict=True)
        return {"input_ids": [ids for length, ids in pairs if length == COURSE_CONTEXT]}

    texts_set = Dataset.from_dict({"content": texts})
    return texts_set.map(tokenize, batched=True, remove_columns=["content"], load_from_cache_file=False)


def course(data: Path, seconds: float, seed: int, accumulated: int) -> dict[str, float]:
    """The course's own training for `seconds`: bits per byte, tokens, tokens a second."""
    from sagechain.pretraining.data.corpus import read_documents
    from sagechain.pretraining.data.tokens import Blocks, TokenArray
    from sagechain.pretraining.training.evaluate import evaluate
    from transformers import (
        AutoTokenizer,
        DataCollatorForLanguageModeling,
        GPT2Config,
        GPT2LMHeadModel,
        PrinterCallback,
        Trainer,
        TrainingArguments,
        set_seed,
    )

    tokenizer = AutoTokenizer.from_pretrained(data / "tokenizer")
    tokenizer.pad_token = tokenizer.eos_token
    tokenized = course_tokens(tokenizer, [document.text for document in read_documents(data / "corpus" / "train")])

    def trained(steps: int) -> tuple[Any, float]:
        set_seed(seed)
        config = GPT2Config(
            vocab_size=len(tokenizer), n_positions=COURSE_CONTEXT, n_layer=4, n_embd=256, n_head=4,
            bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
        )  # fmt: skip
        with tempfile.TemporaryDirectory() as folder:
            arguments = TrainingArguments(
                output_dir=folder, per_device_train_batch_size=COURSE_SEQUENCES,
                gradient_accumulation_steps=accumulated, max_steps=steps, weight_decay=0.1,
                warmup_steps=max(1, round(0.05 * steps)), lr_scheduler_type="cosine", learning_rate=5e-4,
                save_strategy="no", logging_strategy="no", report_to="none", seed=seed, disable_tqdm=True, use_cpu=True,
            )  # fmt: skip
            trainer = Trainer(
                model=GPT2LMHeadModel(config),
                processing_class=tokenizer,
                args=arguments,
                data_collator=DataCollatorForLanguageModeling(tokenizer, mlm=False),
                train_dataset=tokenized,
            )
            trainer.remove_callback(PrinterCallback)
            began = time.perf_counter()
            trainer.train()
            return trainer.model, time.perf_counter() - began

    few, more = (trained(steps)[1] for steps in (1, 3))  # the first step of a process takes longer
    model: Any
    steps, model, taken = 0, None, (more - few) / 2
    wanted = max(2, round((seconds - few) / taken) + 1)
    # The schedule needs the number of steps, which three steps estimate only roughly; one step too many is accepted.
    while not wanted <= steps <= wanted + 1:
        steps = wanted
        model, taken = trained(steps)
        wanted = max(2, round(steps * seconds / taken))
    tokens = steps * COURSE_SEQUENCES * accumulated * COURSE_CONTEXT
    kept = manifest(data)
    blocks = Blocks(TokenArray(data / "tokens", "validation", kept["vocabulary"]), COURSE_CONTEXT)
    found = evaluate(model, blocks, list(range(len(blocks))))
    return {
        "bits": found.bits_per_byte(kept["bytes_per_token"]["validation"]),
        "tokens": tokens,
        "tokens_per_second": tokens / taken,
        "seconds": taken,
    }


def ours(data: Path, **settings: Any) -> dict[str, float]:
    """One run of `train`."""
    with tempfile.TemporaryDirectory() as folder:
        kept = manifest(train(data, Path(folder) / "run", **settings))
    return {"bits": kept["val_bits_per_byte"]} | {
        name: kept[name] for name in ("tokens", "tokens_per_second", "seconds", "mfu", "matrix_flops")
    }


def alone(way: Callable[[], dict[str, float]]) -> dict[str, float]:
    """The result of a way, in a separate process, since threads and memory that one way sets would change the next."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(way).result()


def installed_code(megabytes: int) -> list[str]:
    """So much code from the packages that are installed here."""
    texts, size = [], 0
    for path in sorted(Path(sysconfig.get_path("purelib")).rglob("*.py")):
        if size < megabytes * 1e6:
            text = path.read_text(encoding="utf-8", errors="ignore")
            texts.append(text)
            size += len(text.encode())
    return texts


def data_speed(data: Path, repeat: int, megabytes: int) -> dict[str, list[float]]:
    """MB a second of installed code: the course's map in one process, and packing with two, their start included."""
    import zstandard
    from sagechain.pretraining.data.executors import Executor
    from sagechain.pretraining.data.packing import pack
    from transformers import AutoTokenizer

    texts, tokenizer = installed_code(megabytes), AutoTokenizer.from_pretrained(data / "tokenizer")
    size = sum(len(text.encode()) for text in texts) / 1e6
    rates: dict[str, list[float]] = {"course, datasets.map, 1 process": [], "pack, 2 processes": []}
    with tempfile.TemporaryDirectory() as written:
        for task in range(8):
            lines = [json.dumps({"text": text, "id": str(place)}) for place, text in enumerate(texts[task::8]) if text]
            (Path(written) / f"{task:05d}.jsonl.zst").write_bytes(zstandard.compress("\n".join(lines).encode()))
        for _ in range(repeat):
            began = time.perf_counter()
            course_tokens(tokenizer, texts)
            middle = time.perf_counter()
            with tempfile.TemporaryDirectory() as out, Executor(workers=2).session() as executor:
                pack(
                    Path(written), Path(out) / "tokens", split="train", tokenizer=data / "tokenizer",
                    passes=Path(out) / "passes", executor=executor,
                )  # fmt: skip
                ended = time.perf_counter()
            rates["course, datasets.map, 1 process"].append(size / (middle - began))
            rates["pack, 2 processes"].append(size / (ended - middle))
    return rates


def quality(
    data: Path, seconds: float, seeds: int, accumulated: int, **shape: Any
) -> dict[str, list[dict[str, float]]]:
    """Each way for the same seconds, seed after seed; then Muon with a part of AdamW's tokens."""
    adamw, muon = ADAMW | shape, OURS | shape
    found: dict[str, list[dict[str, float]]] = {}
    for seed in range(seeds):
        ways: dict[str, Callable[[], dict[str, float]]] = {
            "course": partial(course, data, seconds, seed, accumulated),
            "tuned AdamW": partial(ours, data, seconds=seconds, seed=seed, **adamw),
            "ours": partial(ours, data, seconds=seconds, seed=seed, **muon),
        }
        for name, way in ways.items():
            found.setdefault(name, []).append(alone(way))
            print(f"  seed {seed}  {name:12} {found[name][-1]}", flush=True)
        tokens = int(FEWER_TOKENS * found["tuned AdamW"][-1]["tokens"])
        name = f"ours, {FEWER_TOKENS} of AdamW's tokens"
        found.setdefault(name, []).append(alone(partial(ours, data, tokens=tokens, seed=seed, **muon)))
        print(f"  seed {seed}  {name:12} {found[name][-1]}", flush=True)
    return found


def main() -> None:
    """Print what each way gave, the ratios, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=75)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--repeat", type=int, default=3, help="of the measure of data")
    parser.add_argument("--only", choices=["data", "quality"])
    parser.add_argument("--smoke", action="store_true", help="a second each, without checking the targets")
    options = parser.parse_args()
    seconds, seeds, repeat = (1.0, 1, 1) if options.smoke else (options.seconds, options.seeds, options.repeat)
    folder = Path(tempfile.mkdtemp())
    ratios: dict[str, float] = {}
    try:
        if options.smoke:  # a few files of the standard library
            data = prepare(Path(email.__file__).parent, folder / "data", validation_share=0.3)
        else:
            data = prepare("stdlib", folder / "data")
        if options.only != "quality":
            rates = data_speed(data, repeat, 1 if options.smoke else DATA_MEGABYTES)
            medians = {name: statistics.median(rate) for name, rate in rates.items()}
            for name, rate in rates.items():
                print(f"{name:45} {medians[name]:8.2f} MB/s  ({min(rate):.2f} to {max(rate):.2f})")
            ratios["data, of the course's"] = medians["pack, 2 processes"] / medians["course, datasets.map, 1 process"]
        if options.only != "data":
            accumulated, shape = (1, SMOKE) if options.smoke else (COURSE_ACCUMULATED, {})
            found = quality(data, seconds, seeds, accumulated, **shape)
            bits = {name: statistics.mean(run["bits"] for run in runs) for name, runs in found.items()}
            speed = {name: statistics.median(run["tokens_per_second"] for run in runs) for name, runs in found.items()}
            for name, runs in found.items():
                each = ", ".join(f"{run['bits']:.3f}" for run in runs)
                print(f"{name:45} {bits[name]:8.3f} bits/byte ({each})  {speed[name]:,.0f} tokens/s")
            ratios["bits, of the course's"] = bits["ours"] / bits["course"]
            ratios["bits, of tuned AdamW's"] = bits["ours"] / bits["tuned AdamW"]
            ratios["bits with fewer tokens, of tuned AdamW's"] = (
                bits[f"ours, {FEWER_TOKENS} of AdamW's tokens"] / bits["tuned AdamW"]
            )
            ratios["tokens a second, of the course's"] = speed["ours"] / speed["course"]
            ratios["share of the machine's limit"] = statistics.median(run["mfu"] for run in found["ours"])
    finally:
        shutil.rmtree(folder)
    for name, ratio in ratios.items():
        print(f"{name:45} {ratio:8.2f}")
    versions = {name: version(name) for name in ("torch", "transformers", "tokenizers", "datasets", "sagechain")}
    print(json.dumps({"python": platform.python_version(), "cores": os.cpu_count(), **versions, "ratios": ratios}))


if __name__ == "__main__":
    main()
