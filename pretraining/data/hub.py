"""Data sets of the Hugging Face hub, and local copies: whether they can be read, as of which commit, and a task's share."""

from pathlib import Path
from typing import Any, NamedTuple

from ..errors import PretrainingError, unknown_name

TIMEOUT = 5.0  # seconds for the hub's first answer; its own client tries for 25


class DataSet(NamedTuple):
    """What `hf:NAME[@REVISION][#CONFIG]` or `hf:FOLDER[#CONFIG]` names."""

    place: str  # the folder, or the name on the hub
    revision: str | None = None
    config: str | None = None

    @property
    def is_folder(self) -> bool:
        """Whether it is a local copy."""
        return Path(self.place).is_dir()


def data_set(source: str) -> DataSet:
    """The parts of a source `hf:…`. A folder's own name may hold the marks between them."""
    name = source.removeprefix("hf:")
    if Path(name).is_dir():
        return DataSet(name)
    place, _, config = name.rpartition("#") if "#" in name else (name, "", "")
    if Path(place).is_dir():
        return DataSet(place, None, config or None)
    place, _, revision = place.partition("@")
    return DataSet(place, revision or None, config or None)


def check(source: str) -> None:
    """Raise where `hf:…` cannot be read. Of the hub nothing is known offline: `datasets` tells what is cached.

    Raises:
        ValueError: there is no such data set, none of its configurations is chosen, or it has no split `train`.
        PretrainingError: it is out of reach, or broken.
    """
    found = data_set(source)
    if not found.place or (found.place.startswith(("/", ".")) and not found.is_folder):
        raise ValueError(f"source={source!r}: there is no such data set folder. Give hf:OWNER/NAME or hf:FOLDER.")
    if not found.is_folder:
        if is_offline():
            return
        _check_reachable(source, found)
    _check_parts(source, found)


def _check_reachable(source: str, found: DataSet) -> None:
    from huggingface_hub import constants, get_session
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    try:
        get_session().head(constants.ENDPOINT, timeout=TIMEOUT)
        commit(found)
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise ValueError(f"source={source!r}: the Hugging Face hub has no such data set.") from error
    except Exception as error:  # the hub's client raises from several libraries
        raise PretrainingError(
            f"{source}: the Hugging Face hub cannot be reached ({type(error).__name__}). "
            "Check the network, or give a local copy as hf:FOLDER."
        ) from error


def _check_parts(source: str, found: DataSet) -> None:
    import datasets

    datasets.disable_progress_bars()
    place, revision, config = found
    try:
        configs = datasets.get_dataset_config_names(place, revision=revision)
        config = config or datasets.get_dataset_default_config_name(place, revision=revision)
        known = config in configs
        files = datasets.load_dataset_builder(place, config, revision=revision).config.data_files if known else None
    except Exception as error:
        raise unreadable(source, error) from error
    if config is None:
        raise ValueError(
            f"source={source!r}: the data set has several configurations. Name one of them, such as "
            f"{source.rstrip('#')}#{configs[0]}. Known: {', '.join(configs)}"
        )
    if not known:
        raise unknown_name(f"source={source!r}: configuration", config, configs)
    if files is not None and "train" not in files:
        advice = f"Give the folder itself, {place}" if found.is_folder else "Give a folder of the files to train on"
        raise ValueError(
            f"source={source!r}: the data set has no split 'train'; it has {', '.join(map(str, files))}. {advice}."
        )


def unreadable(source: str, error: Exception) -> PretrainingError:
    """What becomes of an error of `datasets`, which raises from every library below it."""
    found = data_set(source)
    advice = (
        f"Give the folder itself, {found.place}: there what is broken is counted and left out."
        if found.is_folder
        else "Check the network, or give a local copy as hf:FOLDER."
    )
    return PretrainingError(f"{source}: the data set cannot be read ({type(error).__name__}: {error}). {advice}")


def is_offline() -> bool:
    """Whether the hub must not be asked (HF_HUB_OFFLINE)."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def commit(found: DataSet) -> str | None:
    """The commit that a data set of the hub stands for now; None where the hub must not be asked."""
    from huggingface_hub import dataset_info

    if is_offline():
        return None
    return dataset_info(found.place, revision=found.revision, timeout=TIMEOUT).sha


def shard(found: DataSet, commit: str | None, rank: int, world_size: int) -> Any:
    """The rows of a task, split as datatrove's own reader splits: by files where there are several, else row by row.

    Args:
        found: the data set.
        commit: of the data set when it was listed, so that a run that goes on reads no other.
    """
    from datasets import disable_progress_bars, load_dataset
    from datasets.distributed import split_dataset_by_node

    disable_progress_bars()
    dataset = load_dataset(
        found.place, name=found.config, revision=commit or found.revision, split="train", streaming=True
    )
    if dataset.num_shards == 1:
        return split_dataset_by_node(dataset, rank=rank, world_size=world_size)
    if rank >= dataset.num_shards:
        return []
    return dataset.shard(num_shards=world_size, index=rank, contiguous=False)
