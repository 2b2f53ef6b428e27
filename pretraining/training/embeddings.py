"""Embeddings to begin with: tokens that stand beside the same tokens in the train split begin near one another.

A short run sees most tokens of its vocabulary a few times only, and the embeddings are 40 % of a small model's weights. How
often tokens stand side by side is counted over the whole split in a second or two, and says much of what the run would
have to learn. After 131,000 tokens this is worth 0.14 bits per byte, of 2.23 (RUNS.md).

Source: Levy and Goldberg 2014, "Neural word embedding as implicit matrix factorization" (positive pointwise mutual
information and its truncated decomposition); Levy, Goldberg and Dagan 2015, section 3 (the smoothing, the root).
"""

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch

    from ..data.tokens import TokenArray

COUNTED_TOKENS = 16_000_000  # of the train split at most: counts of more change little, and cost memory
DISTANCES = (1, 2)  # tokens apart; a pair counts by one over its distance
SMOOTHING = 0.75  # power of how often a neighbour occurs, so that rare ones do not stand out
DEVIATION = 0.06  # standard deviation of the numbers, tried from 0.02 to 0.1; GPT-2's random ones have 0.02


def neighbour_embeddings(row: "TokenArray", *, vocabulary: int, width: int, seed: int) -> "torch.Tensor":
    """An embedding for every token, made of its neighbours in a row of tokens.

    Args:
        row: the train split.
        vocabulary, width: the shape of what comes back.
        seed: of the decomposition's random start and of the direction of the axes.

    Returns:
        float32 of shape (vocabulary, width), mean 0, standard deviation `DEVIATION`. The same for the same
        arguments on one machine.
    """
    import torch

    rows, columns, information = _information(row[:COUNTED_TOKENS], vocabulary)
    matrix = torch.sparse_coo_tensor(
        torch.from_numpy(np.stack([rows, columns])),
        torch.from_numpy(information),
        (vocabulary, vocabulary),
        check_invariants=True,
    ).coalesce()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        vectors, values, _ = torch.svd_lowrank(matrix, q=min(width, vocabulary), niter=1)
        made: torch.Tensor = torch.zeros(vocabulary, width)
        made[:, : len(values)] = vectors * values.sqrt()
        if not len(information):  # no token tells of another, as in a row of one token
            made = torch.randn(vocabulary, width)
        made -= made.mean(0)
        # Turned at random: the first axes hold most of the variance, and no head should see them alone.
        made = made @ torch.linalg.qr(torch.randn(width, width))[0]
        return made * (DEVIATION / float(made.std()))


def _information(tokens: "np.ndarray[Any, Any]", vocabulary: int) -> tuple[Any, Any, Any]:
    """The positive pointwise mutual information of neighbours, on either side: places (token, neighbour) and nats."""
    places, weights = [], []
    for distance in DISTANCES:
        pairs, counts = np.unique(tokens[:-distance] * vocabulary + tokens[distance:], return_counts=True)
        places += [pairs, pairs % vocabulary * vocabulary + pairs // vocabulary]
        weights += [counts / distance] * 2
    pairs, inverse = np.unique(np.concatenate(places), return_inverse=True)
    together = np.bincount(inverse, np.concatenate(weights))
    of_token, of_neighbour = pairs // vocabulary, pairs % vocabulary
    alone = np.bincount(of_token, together, vocabulary)
    smoothed = alone**SMOOTHING / (alone**SMOOTHING).sum()
    nats = np.log(together / alone[of_token] / smoothed[of_neighbour])
    kept = nats > 0
    return of_token[kept], of_neighbour[kept], nats[kept].astype(np.float32)
