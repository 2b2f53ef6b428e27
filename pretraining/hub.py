"""Data sets of the Hugging Face hub, and local copies: whether they are there, as of which commit, and a task's share."""

from pathlib import Path
from typing import Any

from .errors import PretrainingError

TIMEOUT = 5.0  # seconds for the hub's first answer; its own client tries for 25


def check(source: str, name: str) -> None:
    """Raise ValueError where the hub has no such data set, PretrainingError where it is out of reach."""
    from huggingface_hub import constants, get_session
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    if is_offline():
        return  # only what is cached can be read, and `datasets` tells what is
    try:
        get_session().head(constants.ENDPOINT, timeout=TIMEOUT)
        commit(name)
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise ValueError(f"source={source!r}: the Hugging Face hub has no such data set.") from error
    except Exception as error:  # the hub's client raises from several libraries
        raise PretrainingError(
            f"{source}: the Hugging Face hub cannot be reached ({type(error).__name__}). "
            "Check the network, or give a local copy as hf:FOLDER."
        ) from error


def is_offline() -> bool:
    """Whether the hub must not be asked (HF_HUB_OFFLINE)."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def commit(name: str) -> str | None:
    """The commit that `NAME` or `NAME@REVISION` stands for now; None where the hub must not be asked."""
    from huggingface_hub import dataset_info

    if is_offline():
        return None
    repository, _, revision = name.partition("@")
    return dataset_info(repository, revision=revision or None, timeout=TIMEOUT).sha


def shard(name: str, commit: str | None, rank: int, world_size: int) -> Any:
    """The rows of a task, split as datatrove's own reader splits: by files where there are several, else row by row.

    Args:
        name: a folder, `NAME` or `NAME@REVISION`.
        commit: of the data set when it was listed, so that a run that goes on reads no other.
    """
    from datasets import disable_progress_bars, load_dataset
    from datasets.distributed import split_dataset_by_node

    disable_progress_bars()
    repository, _, revision = (name, "", "") if Path(name).is_dir() else name.partition("@")
    dataset = load_dataset(repository, revision=commit or revision or None, split="train", streaming=True)
    if dataset.num_shards == 1:
        return split_dataset_by_node(dataset, rank=rank, world_size=world_size)
    if rank >= dataset.num_shards:
        return []
    return dataset.shard(num_shards=world_size, index=rank, contiguous=False)
