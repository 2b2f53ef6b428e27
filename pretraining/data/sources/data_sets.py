"""Data sets of the Hugging Face hub and local copies of them, read by the library `datasets`.

A data set of the hub is known by its commit, and read at the commit in the listing. A local copy is known by its files'
contents. The split `train` is read.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...errors import PretrainingError, unknown_name
from ...manifest import file_sha256
from .formats import LeftOut, Row, row_of
from .listing import Entry, read_entries, write_entries

DATA_SET = "hf:"  # begins a source's name
HUB_TIMEOUT = 5.0  # seconds for the hub's first answer; its own client tries for 25


class DataSetSource:
    """The `Source` `hf:NAME[@REVISION][#CONFIG]` or `hf:FOLDER[#CONFIG]`. A folder's name may itself contain @ and #."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._title = name.removeprefix(DATA_SET)
        self._place, self._revision, self._config = _parse(self._title)

    @property
    def _is_folder(self) -> bool:
        return Path(self._place).is_dir()

    def check(self) -> None:
        """Raise where the data set cannot be read. Offline, the hub's are not checked: `datasets` knows what is cached.

        Raises:
            ValueError: an unknown data set or configuration, a choice of several that was not made, or no split `train`.
            PretrainingError: it cannot be reached, or is broken.
        """
        if not self._place or (self._place.startswith(("/", ".")) and not self._is_folder):
            raise ValueError(
                f"source={self.name!r}: the data set's folder does not exist. Give hf:OWNER/NAME or hf:FOLDER."
            )
        if not self._is_folder:
            if _is_offline():
                return
            self._check_reachable()
        self._check_split(self._checked_config())

    def write_listing(self, path: Path, *, output: Path | None = None) -> str:
        digest = write_entries(path, self._entries(), prefix=f"{DATA_SET}{self._config or ''}")
        return "" if not self._is_folder and _is_offline() else digest

    def rows(self, listing: Path, rank: int, world_size: int, max_bytes: int) -> Iterator[Row | LeftOut]:
        commit = None if self._is_folder else next(read_entries(listing, 0, 1))["commit"]
        title = Path(self._place).name if self._is_folder else self._title
        try:
            for number, columns in enumerate(self._shard(commit, rank, world_size)):
                yield row_of(columns, f"{title}#{rank}.{number}")
        except Exception as error:
            raise self._unreadable(error) from error

    def _entries(self) -> Iterator[Entry]:
        if not self._is_folder:
            yield {"data set": self._title, "commit": None if _is_offline() else self._commit()}
            return
        root = Path(self._place)
        for path in sorted(root.rglob("*")):
            if path.is_file():
                name, size = path.relative_to(root).as_posix(), path.stat().st_size
                yield {"file": name, "size": size, "sha256": file_sha256(path)}

    def _commit(self) -> str | None:
        from huggingface_hub import dataset_info

        return dataset_info(self._place, revision=self._revision, timeout=HUB_TIMEOUT).sha

    def _shard(self, commit: str | None, rank: int, world_size: int) -> Any:
        """A task's rows: whole files where there are several, else single rows, as datatrove's own reader splits them."""
        from datasets import disable_progress_bars, load_dataset
        from datasets.distributed import split_dataset_by_node

        disable_progress_bars()
        dataset = load_dataset(
            self._place, name=self._config, revision=commit or self._revision, split="train", streaming=True
        )
        if dataset.num_shards == 1:
            return split_dataset_by_node(dataset, rank=rank, world_size=world_size)
        if rank >= dataset.num_shards:
            return []
        return dataset.shard(num_shards=world_size, index=rank, contiguous=False)

    def _check_reachable(self) -> None:
        from huggingface_hub import constants, get_session
        from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

        try:
            get_session().head(constants.ENDPOINT, timeout=HUB_TIMEOUT)
            self._commit()
        except (RepositoryNotFoundError, RevisionNotFoundError) as error:
            raise ValueError(f"source={self.name!r}: the Hugging Face hub has no such data set.") from error
        except Exception as error:  # the hub's client raises from several libraries
            raise PretrainingError(
                f"{self.name}: the Hugging Face hub cannot be reached ({type(error).__name__}). "
                "Check the network, or give a local copy as hf:FOLDER."
            ) from error

    def _checked_config(self) -> str:
        """The configuration to read: the one in the name, or the data set's default."""
        import datasets

        datasets.disable_progress_bars()
        try:
            known = datasets.get_dataset_config_names(self._place, revision=self._revision)
            config = self._config or datasets.get_dataset_default_config_name(self._place, revision=self._revision)
        except Exception as error:
            raise self._unreadable(error) from error
        if config is None:
            raise ValueError(
                f"source={self.name!r}: the data set has several configurations. Name one of them, such as "
                f"{self.name.rstrip('#')}#{known[0]}. Known: {', '.join(known)}"
            )
        if config not in known:
            raise unknown_name(f"source={self.name!r}: configuration", config, known)
        return config

    def _check_split(self, config: str) -> None:
        import datasets

        try:
            files = datasets.load_dataset_builder(self._place, config, revision=self._revision).config.data_files
        except Exception as error:
            raise self._unreadable(error) from error
        if files is not None and "train" not in files:
            place = f"the folder itself, {self._place}" if self._is_folder else "a folder of the files to train on"
            raise ValueError(
                f"source={self.name!r}: the data set has no split 'train'; it has {', '.join(map(str, files))}. "
                f"Give {place}."
            )

    def _unreadable(self, error: Exception) -> PretrainingError:
        """`datasets` raises errors of every library that it uses."""
        advice = (
            f"Give the folder itself, {self._place}: then broken rows and files are counted and left out."
            if self._is_folder
            else "Check the network, or give a local copy as hf:FOLDER."
        )
        return PretrainingError(f"{self.name}: the data set cannot be read ({type(error).__name__}: {error}). {advice}")


def _parse(title: str) -> tuple[str, str | None, str | None]:
    """Folder or name on the hub, revision, configuration."""
    if Path(title).is_dir():
        return title, None, None
    place, _, config = title.rpartition("#") if "#" in title else (title, "", "")
    if Path(place).is_dir():
        return place, None, config or None
    place, _, revision = place.partition("@")
    return place, revision or None, config or None


def _is_offline() -> bool:
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)
