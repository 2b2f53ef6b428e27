"""Token files, blocks and their order: no token is lost or repeated, for any sizes."""

from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sagechain.pretraining.data.tokenizer import END_OF_TEXT, WordEncoder, check_vocab_size, token_ids, train_tokenizer
from sagechain.pretraining.data.tokens import IGNORED, BlockOrder, Blocks, TokenArray, token_dtype
from sagechain.pretraining.training.loop import Batches


def token_array(folder: Path, shards: list[list[int]], vocabulary: int = 70_000) -> TokenArray:
    for number, shard in enumerate(shards):
        np.array(shard, token_dtype(vocabulary)).tofile(folder / f"train-{number:05d}.bin")
    return TokenArray(folder, "train", vocabulary)


SHARDS = st.lists(st.lists(st.integers(0, 69_999), max_size=40), min_size=1, max_size=4)


@given(shards=SHARDS, start=st.integers(0, 170), length=st.integers(0, 60))
def test_an_array_reads_across_the_ends_of_its_files(
    tmp_path_factory: pytest.TempPathFactory, shards: list[list[int]], start: int, length: int
) -> None:
    row = token_array(tmp_path_factory.mktemp("row"), shards)
    whole = [token for shard in shards for token in shard]
    assert len(row) == len(whole)
    assert row[start : start + length].tolist() == whole[start : start + length]


@given(shards=SHARDS, context=st.integers(2, 17))
def test_each_token_but_the_first_is_a_target_once_and_follows_its_input(
    tmp_path_factory: pytest.TempPathFactory, shards: list[list[int]], context: int
) -> None:
    row = token_array(tmp_path_factory.mktemp("row"), shards)
    blocks = Blocks(row, context)
    inputs, targets = blocks.read(range(len(blocks)))
    used = targets != IGNORED
    assert targets[used].tolist() == row[1 : len(row)].tolist()
    assert inputs[used].tolist() == row[0 : max(len(row) - 1, 0)].tolist()


@given(
    blocks=st.integers(1, 40),
    share=st.integers(1, 5),
    ranks=st.sampled_from([1, 2, 3]),
    seed=st.integers(0, 5),
    epochs=st.integers(1, 3),
)
def test_every_epoch_reads_every_block_once_with_any_ranks_and_after_a_resume(
    blocks: int, share: int, ranks: int, seed: int, epochs: int
) -> None:
    batch = share * ranks
    steps = -(-blocks * epochs // batch)
    read = [
        block
        for step in range(steps)
        for rank in range(ranks)
        # A new order at each step: as after a resume.
        for block in BlockOrder(blocks, batch=batch, seed=seed).step(step, rank=rank, ranks=ranks)
    ]
    alone = BlockOrder(blocks, batch=batch, seed=seed)
    assert read == [block for step in range(steps) for block in alone.step(step)]
    for epoch in range(epochs):
        assert Counter(read[epoch * blocks : (epoch + 1) * blocks]) == Counter(range(blocks))


@given(
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=6),
    context=st.integers(2, 9),
    ranks=st.sampled_from([1, 2, 3]),
    device_batch=st.integers(1, 2),
    accumulated=st.integers(1, 3),
    data=st.data(),
)
def test_every_token_is_a_target_once_per_epoch_with_any_documents_contexts_ranks_and_resumes(
    tmp_path_factory: pytest.TempPathFactory,
    lengths: list[int],
    context: int,
    ranks: int,
    device_batch: int,
    accumulated: int,
    data: st.DataObject,
) -> None:
    row = token_array(
        tmp_path_factory.mktemp("row"), [list(range(sum(lengths) + len(lengths)))]
    )  # each with its end-of-text
    blocks, epochs = Blocks(row, context), ranks * device_batch * accumulated
    stopped = data.draw(st.integers(0, len(blocks)))
    learnt: Counter[int] = Counter()
    for first, end, rank in [(0, stopped, rank) for rank in range(ranks)] + [
        (stopped, len(blocks), rank) for rank in range(ranks)
    ]:
        order = BlockOrder(len(blocks), batch=epochs, seed=0)
        batches = Batches(blocks, order, first_step=first, device_batch=device_batch, rank=rank, ranks=ranks)
        for batch in islice(batches, (end - first) * accumulated):
            learnt.update(batch["labels"][batch["labels"] != IGNORED].tolist())
    assert learnt == Counter(dict.fromkeys(range(1, len(row)), epochs))


def test_epochs_and_seeds_are_shuffled_differently() -> None:
    first, second = (BlockOrder(100, batch=100, seed=0).step(epoch) for epoch in (0, 1))
    other = BlockOrder(100, batch=100, seed=1).step(0)
    assert len({tuple(order) for order in (first, second, other, range(100))}) == 4


def test_ids_have_two_bytes_if_the_vocabulary_allows_it() -> None:
    assert (token_dtype(65_536).itemsize, token_dtype(65_537).itemsize) == (2, 4)


def test_the_error_for_a_truncated_token_file_names_it(tmp_path: Path) -> None:
    (tmp_path / "train-00000.bin").write_bytes(b"123")
    with pytest.raises(ValueError, match=r"train-00000.bin is truncated: its size is not a multiple of 2 bytes"):
        TokenArray(tmp_path, "train", 300)


def test_the_error_for_a_folder_without_tokens_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"contains no tokens train-\*.bin; run `sagechain pretrain prepare`"):
        TokenArray(tmp_path, "train", 300)


def test_a_split_of_fewer_than_two_tokens_cannot_be_trained_on(tmp_path: Path) -> None:
    blocks = Blocks(token_array(tmp_path, [[7]]), 8)
    with pytest.raises(ValueError, match="fewer than two tokens; prepare a larger corpus"):
        BlockOrder(len(blocks), batch=1, seed=0)


TEXTS = ["def add(a, b):\n    return a + b\n"] * 20 + ["class A:\n    pass\n"] * 20


TOKENIZER = train_tokenizer(TEXTS, vocab_size=300)


@given(text=st.text(max_size=60))
def test_any_text_is_decoded_exactly(text: str) -> None:
    assert TOKENIZER.decode(token_ids(TOKENIZER, [text])[0]) == text


@given(
    texts=st.lists(
        st.text(max_size=60)
        | st.text(st.characters(max_codepoint=127), max_size=60)
        | st.text(alphabet="ab1 \n\t'_(é中sd", max_size=60),
        max_size=4,
    )
)
def test_cached_words_have_the_ids_of_whole_texts(texts: list[str]) -> None:
    dtype = token_dtype(300)
    found = WordEncoder(TOKENIZER.backend_tokenizer, dtype).encode(texts)
    assert [np.frombuffer(ids, dtype).tolist() for ids in found] == token_ids(TOKENIZER, texts)


def test_end_of_text_written_in_a_document_is_text() -> None:
    tokenizer = train_tokenizer(TEXTS, vocab_size=300)
    ids = token_ids(tokenizer, [f"x = '{END_OF_TEXT}'"])[0]
    assert tokenizer.eos_token_id not in ids
    assert tokenizer.decode(ids) == f"x = '{END_OF_TEXT}'"


def test_a_vocabulary_too_small_for_the_bytes_is_refused() -> None:
    with pytest.raises(ValueError, match=r"vocab_size: 256 is too few: .* at least 257"):
        check_vocab_size(256)


def test_frequent_words_become_single_tokens_and_a_small_corpus_yields_fewer_than_allowed() -> None:
    tokenizer = train_tokenizer(TEXTS, vocab_size=300, context=128)
    assert tokenizer.tokenize("class A:") == ["class", "ĠA", ":"]
    assert (len(tokenizer), tokenizer.model_max_length, tokenizer.eos_token) == (281, 128, END_OF_TEXT)
