"""Leave out duplicates: equal documents by hash, similar ones by MinHash. Both are datatrove's, with words of code.

Exact: signatures → matches → filter. Near: signatures → buckets → clusters → filter. One document of each group stays.

MinHash finds a pair by chance. With 14 buckets of 8 hashes (datatrove's default) it finds two documents that share the
part s of their runs of five words with probability 1 - (1 - s^8)^14: 0.92 at s = 0.8, 0.56 at s = 0.7. So most near
copies are removed, and not all.
"""

import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from datatrove.data import Document
from datatrove.pipeline.dedup import exact_dedup, minhash
from datatrove.pipeline.dedup.exact_dedup import (
    ExactDedupConfig,
    ExactDedupFilter,
    ExactDedupSignature,
    ExactFindDedups,
)
from datatrove.pipeline.dedup.minhash import (
    MinhashConfig,
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
    MinhashDedupSignature,
)
from datatrove.utils.word_tokenizers import WordTokenizer
from numpy.typing import NDArray
from tqdm import tqdm  # type: ignore[import-untyped]

NEAR = MinhashConfig(n_grams=5)  # runs of five words; all steps on similar documents share it
BUFFERED_LINES = 1_000  # signatures read at a time; datatrove's default of 5 is a system call for each
CACHED_WORDS = 200_000  # about 30 MB; then the cache is emptied
SHINGLES_AT_ONCE = 4_096  # rows of the table of hashes: 4,096 × 112 × 8 bytes = 3.7 MB
MERSENNE = np.uint64((1 << 61) - 1)

_WORD = re.compile(r"\w+")

# datatrove 0.10.1 draws progress bars on standard error and has no option to turn them off.
exact_dedup.tqdm = minhash.tqdm = partial(tqdm, disable=True)


def _hashed(text: str) -> int:
    return xxhash.xxh64_intdigest(text.encode("utf-8"))  # xxhash 4 does not accept str, which datatrove 0.10.1 passes


class _CodeWords(WordTokenizer):  # type: ignore[misc]
    """datatrove demands a tokenizer of a language, and its own need NLTK or spaCy."""

    def word_tokenize(self, text: str) -> list[str]:
        return _WORD.findall(text)

    def sent_tokenize(self, text: str) -> list[str]:
        raise NotImplementedError

    def span_tokenize(self, text: str) -> list[tuple[int, int]]:
        raise NotImplementedError


class CodeSignature(MinhashDedupSignature):  # type: ignore[misc]
    """MinHash signatures over runs of five words. A shorter document is one run; one without words is its text.

    Case counts, as it does in code; punctuation and layout do not.
    """

    def __init__(self, output_folder: str, config: MinhashConfig) -> None:
        super().__init__(output_folder, config, language=_CodeWords())
        self._hashes: dict[str, int] = {}

    def get_shingles(self, text: str) -> NDArray[np.uint64]:
        """Hashes of the document's distinct runs of words: uint64, shape (runs, 1)."""
        words = _WORD.findall(text)
        n = self.config.n_grams
        if len(words) < n:
            run = " ".join(words) or text
            return np.array([[_hashed(run)]], dtype=np.uint64)
        hashes = np.fromiter(map(self._hash, words), dtype=np.uint64, count=len(words))
        runs = np.zeros(len(words) - n + 1, dtype=np.uint64)
        for offset in range(n):
            # Multiply and shift between the words, so that their order counts.
            runs = (runs ^ hashes[offset : offset + len(runs)]) * np.uint64(0x9E3779B97F4A7C15)
            runs ^= runs >> np.uint64(29)
        return np.unique(runs).reshape(-1, 1)

    def _hash(self, word: str) -> int:
        value = self._hashes.get(word)
        if value is None:
            if len(self._hashes) >= CACHED_WORDS:
                self._hashes.clear()
            value = self._hashes[word] = _hashed(word)
        return value

    def get_signature(self, shingles: NDArray[np.uint64]) -> list[list[int]]:
        """datatrove's own signature, bit for bit, in bounded memory and with a faster remainder."""
        a, b = self.parameters
        smallest = np.full(self.num_hashes, np.iinfo(np.uint64).max, dtype=np.uint64)
        for start in range(0, len(shingles), SHINGLES_AT_ONCE):
            table = shingles[start : start + SHINGLES_AT_ONCE] * a + b
            table = (table & MERSENNE) + (table >> np.uint64(61))  # x mod 2**61 - 1, or that plus the modulus
            np.subtract(table, MERSENNE, out=table, where=table >= MERSENNE)
            np.minimum(smallest, table.min(axis=0), out=smallest)
        return [part.tolist() for part in np.split(smallest, self.config.num_buckets)]


def _content(document: Document) -> bytes:
    return document.text.encode("utf-8")  # type: ignore[no-any-return]


def exact_steps(folder: Path, tasks: int) -> tuple[Any, Any, Any]:
    """The steps against equal documents.

    Args:
        folder: for hashes and matches.
        tasks: of the pass that finds the matches.

    Returns:
        The last step of a pass (write the hashes), the only step of the next (find the matches), and a step of a later
        one (pass on one document of each group).
    """
    signatures, matches, config = str(folder / "signatures"), str(folder / "matches"), ExactDedupConfig(_content)
    return (
        ExactDedupSignature(signatures, config, finder_workers=tasks),
        ExactFindDedups(signatures, matches, config, lines_to_buffer=BUFFERED_LINES),
        ExactDedupFilter(matches, config),
    )


def near_steps(folder: Path) -> tuple[Any, Any, Any, Any]:
    """The steps against similar documents.

    Returns:
        The last step of a pass (write the signatures), the only step of a pass of `NEAR.num_buckets` tasks (find the pairs
        whose signatures agree), the only step of a pass of one task (join the pairs to groups and choose the document of
        each that stays), and a step of a later pass (pass on that document).
    """
    signatures, buckets, clusters = (str(folder / name) for name in ("signatures", "buckets", "clusters"))
    return (
        CodeSignature(signatures, NEAR),
        MinhashDedupBuckets(signatures, buckets, config=NEAR, lines_to_buffer=BUFFERED_LINES),
        MinhashDedupCluster(buckets, clusters, config=NEAR, lines_to_buffer=BUFFERED_LINES),
        MinhashDedupFilter(clusters),
    )
