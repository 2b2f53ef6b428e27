"""The demo's last part: a CodeParrot from nothing, and its completions in the chains of the parts before."""

import tempfile
from pathlib import Path

from rich.console import Console
from sagechain.agents import codeparrot_completion, falcon_chatbot
from sagechain.prompts import load_prompt, read_yaml

BEGINNING = "def mean(numbers):\n"
CANDIDATES = 8  # a young model often ends a block before it began


def pretrain(console: Console, *, seconds: float) -> None:
    """Corpus, tokenizer, a minute of training, report, export, completions."""
    from sagechain.llms import load_llm
    from sagechain.pretraining import corpus_table, export, prepare, read_manifest, tokenizer_summary, train
    from sagechain.pretraining.publishing import read_history, terminal_curve, write_report

    with tempfile.TemporaryDirectory() as folder:
        prepared = prepare("stdlib", Path(folder) / "data")
        of_data = read_manifest(prepared) or {}
        console.print("The corpus is this Python's own standard library; what each filter took:")
        console.print(corpus_table(of_data["corpus"]))
        console.print(tokenizer_summary(of_data))
        run = train(prepared, Path(folder) / "run", preset="demo", seconds=seconds)
        of_run = read_manifest(run) or {}
        console.print(terminal_curve(read_history(run)), markup=False)
        console.print(
            f"{of_run['parameters']:,} weights, {of_run['tokens']:,} tokens in {of_run['seconds']:.0f} s: "
            f"{of_run['val_bits_per_byte']:.2f} bits per byte of code it has not seen "
            f"(8 would be chance), the next token right {of_run['val_accuracy']:.0%} of the time."
        )
        write_report(run)
        model = export(run, Path(folder) / "codeparrot")
        llm = load_llm(f"local:{model}", max_new_tokens=48, temperature=0.7, seed=0)
        console.print(
            "After a minute expect words, indents and phrases of Python, and no program that does what it says. "
            f"Of {CANDIDATES} completions each the best: one that parses, then the likeliest."
        )
        for beginning in read_yaml("sagechain.agents", "codeparrot_completion.yaml")["prompts"][:2]:
            _complete(console, llm, beginning["text"])
        _complete(console, llm, BEGINNING)
        console.print("[bold]The chain of part 3[/bold] (code-generation), with this model in Falcon's place:")
        use = load_prompt("code-generation")
        values = {name: each["example"] for name, each in use.metadata["variables"].items()}
        console.print(falcon_chatbot.chain(llm, "code-generation").invoke(values).text, markup=False)


def _complete(console: Console, llm: object, beginning: str) -> None:
    completed = codeparrot_completion.chain(llm, candidates=CANDIDATES).invoke(beginning)  # type: ignore[arg-type]
    console.print(f"[bold]Beginning:[/bold] {beginning.rstrip().splitlines()[-1]}")
    console.print("[bold]Completion:[/bold]", end=" ")
    console.print(completed.strip("\n"), markup=False)
