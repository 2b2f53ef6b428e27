"""The demo's last part: a CodeParrot trained from scratch, and its completions in the chains of the other parts."""

import tempfile
from pathlib import Path

from langchain_core.language_models.llms import BaseLLM
from rich.console import Console
from sagechain.agents import codeparrot_completion, falcon_chatbot
from sagechain.prompts import load_prompt, read_yaml, visible

PROMPT = "def mean(numbers):\n"
CANDIDATES = 8  # the first completions of a barely trained model are often empty
VALIDATION_SHARE = 0.02  # of the files: evaluating the usual tenth would take longer than the training


def pretrain(console: Console, *, seconds: float) -> None:
    """Corpus, tokenizer, a short training, report, export, completions."""
    from sagechain.llms import load_llm

    with tempfile.TemporaryDirectory() as folder:
        model = _train(console, Path(folder), seconds)
        llm = load_llm(f"local:{model}", max_new_tokens=48, temperature=0.7, seed=0)
        console.print(
            "After so short a training expect words, indents and phrases of Python, and no program that works. "
            f"Of {CANDIDATES} completions each the best: one that parses, then the likeliest."
        )
        programs = read_yaml("sagechain.agents", "codeparrot_completion.yaml")["prompts"][:2]
        for prompt in (*(program["text"] for program in programs), PROMPT):
            completion = codeparrot_completion.chain(llm, candidates=CANDIDATES).invoke(prompt)
            console.print(f"[bold]Beginning:[/bold] {prompt.rstrip().splitlines()[-1]}")
            console.print("[bold]Completion:[/bold]", end=" ")
            console.print(visible(completion.strip("\n")), markup=False)
        _show_code_generation(console, llm)


def _train(console: Console, folder: Path, seconds: float) -> Path:
    """The folder of the exported model."""
    from sagechain.pretraining import corpus_table, export, prepare, read_manifest, tokenizer_summary, train
    from sagechain.pretraining.publishing import read_history, terminal_curve, write_report

    data = prepare("stdlib", folder / "data", validation_share=VALIDATION_SHARE)
    corpus_manifest = read_manifest(data) or {}
    console.print("The corpus is this Python's own standard library; what each filter took:")
    console.print(corpus_table(corpus_manifest["corpus"]))
    console.print(tokenizer_summary(corpus_manifest))
    run = train(data, folder / "run", preset="demo", seconds=seconds, evaluations=2)
    manifest = read_manifest(run) or {}
    console.print(terminal_curve(read_history(run)), markup=False)
    console.print(
        f"{manifest['parameters']:,} weights, {manifest['tokens']:,} tokens in {manifest['seconds']:.0f} s: "
        f"{manifest['val_bits_per_byte']:.2f} bits per byte of unseen code "
        f"(8 would be chance), the next token right {manifest['val_accuracy']:.0%} of the time."
    )
    write_report(run)
    return export(run, folder / "codeparrot")


def _show_code_generation(console: Console, llm: BaseLLM) -> None:
    console.print("[bold]The chain of part 3[/bold] (code-generation), with this model in Falcon's place:")
    variables = load_prompt("code-generation").metadata["variables"]
    values = {name: each["example"] for name, each in variables.items()}
    console.print(visible(falcon_chatbot.chain(llm, "code-generation").invoke(values).text), markup=False)
