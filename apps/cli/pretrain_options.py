"""The options that several commands of `sagechain pretrain` share."""

from typing import Annotated, Any

import typer
from sagechain.command import parse_parameter

SourceArgument = Annotated[
    str,
    typer.Argument(
        help="stdlib, a folder or file of code, JSON lines or parquet, or hf:NAME[@REVISION][#CONFIG] "
        "(a Hugging Face data set)."
    ),
]
KeywordsOption = Annotated[
    str | None, typer.Option("--keywords", help="Use only documents with any of these words, such as pandas,sklearn.")
]
LicensesOption = Annotated[
    str | None,
    typer.Option("--licenses", help="Use only documents under these licences, such as mit,apache-2.0, or permissive."),
]
VocabularyOption = Annotated[int, typer.Option("--vocab-size", help="Number of tokens in the vocabulary.")]
ContextOption = Annotated[int, typer.Option("--context", help="Tokens in the model's context.")]
TasksOption = Annotated[
    int, typer.Option("--tasks", min=1, help="Number of tasks: at least one for each worker of a cluster.")
]
WorkersOption = Annotated[int | None, typer.Option("--workers", help="Number of processes; one a core if not given.")]
PresetOption = Annotated[str, typer.Option("--preset", help="demo, tiny, codeparrot-small or codeparrot.")]
TokensOption = Annotated[int | None, typer.Option("--tokens", help="The budget in tokens.")]
SecondsOption = Annotated[float | None, typer.Option("--seconds", help="The budget in seconds of training.")]
SeedOption = Annotated[int, typer.Option("--seed", help="Seed of the weights and of the order of the data.")]
TrackerOption = Annotated[str, typer.Option("--report-to", help="Installed trackers: tensorboard, trackio, wandb …")]
SettingOption = Annotated[
    list[Any] | None,
    typer.Option(
        "-p",
        metavar="NAME=VALUE",
        help="A setting that replaces the preset's, such as width=128.",
        parser=parse_parameter,
    ),
]
