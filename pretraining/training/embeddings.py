"""Initial embeddings: tokens with the same neighbours in the train split start near one another.

A short run sees most tokens of its vocabulary only a few times, and the embeddings are 40 % of a small model's weights.
Counting neighbours over the whole split takes a second or two and anticipates much of what the run would have to learn:
after 131,000 tokens 0.14 bits per byte of 2.23 (RUNS.md).

Source: Levy and Goldberg 2014, "Neural word embedding as implicit matrix factorization" (positive pointwise mutual
information and its truncated decomposition); Levy, Goldberg and Dagan 2015, section 3 (the smoothing, the root).
"""

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch

    from ..data.tokens import TokenArray

MAX_TOKENS = 16_000_000  # of the train split: counting more changes little, and costs memory
DISTANCES = (1, 2)  # tokens apart; a pair counts by one over its distance
SMOOTHING = 0.75  # exponent of a neighbour's frequency, so that rare ones do not dominate
DEVIATION = 0.06  # standard deviation of the embeddings, tried from 0.02 to 0.1; GPT-2's is 0.02


def neighbour_embeddings(tokens: "TokenArray", *, vocabulary: int, width: int, seed: int) -> "torch.Tensor":
    """An embedding of every token, computed from its neighbours.

    Args:
        tokens: the train split.
        vocabulary, width: the shape of the result.
        seed: of the decomposition's random start and of the random rotation.

    Returns:
        float32 of shape (vocabulary, width), mean 0, standard deviation `DEVIATION`. The same for the same
        arguments on one machine.
    """
    import torch

    rows, columns, information = _information(tokens[:MAX_TOKENS], vocabulary)
    matrix = torch.sparse_coo_tensor(
        torch.from_numpy(np.stack([rows, columns])),
        torch.from_numpy(information),
        (vocabulary, vocabulary),
        check_invariants=True,
    ).coalesce()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        vectors, values, _ = torch.svd_lowrank(matrix, q=min(width, vocabulary), niter=1)
        embeddings: torch.Tensor = torch.zeros(vocabulary, width)
        embeddings[:, : len(values)] = vectors * values.sqrt()
        if not len(information):  # neighbours are independent, as in a text of one token
            embeddings = torch.randn(vocabulary, width)
        embeddings -= embeddings.mean(0)
        # Rotated at random: the first axes have most of the variance, and no head should get them alone.
        embeddings = embeddings @ torch.linalg.qr(torch.randn(width, width))[0]
        return embeddings * (DEVIATION / float(embeddings.std()))


def _information(tokens: "np.ndarray[Any, Any]", vocabulary: int) -> tuple[Any, Any, Any]:
    """The positive pointwise mutual information of neighbours on both sides: token ids, neighbours' ids, and nats."""
    indices, weights = [], []
    for distance in DISTANCES:
        pairs, counts = np.unique(tokens[:-distance] * vocabulary + tokens[distance:], return_counts=True)
        indices += [pairs, pairs % vocabulary * vocabulary + pairs // vocabulary]
        weights += [counts / distance] * 2
    pairs, inverse = np.unique(np.concatenate(indices), return_inverse=True)
    together = np.bincount(inverse, np.concatenate(weights))
    of_token, of_neighbour = pairs // vocabulary, pairs % vocabulary
    alone = np.bincount(of_token, together, vocabulary)
    smoothed = alone**SMOOTHING / (alone**SMOOTHING).sum()
    nats = np.log(together / alone[of_token] / smoothed[of_neighbour])
    positive = nats > 0
    return of_token[positive], of_neighbour[positive], nats[positive].astype(np.float32)
