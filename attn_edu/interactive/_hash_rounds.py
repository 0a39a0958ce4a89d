"""Rounds of hashing: the pairs that LSH attention keeps, beside the full map, as rounds are added."""

import html
from collections.abc import Sequence
from typing import Any

import numpy as np

from attn_edu.checks import check_flag
from attn_edu.sparse import angular_hash, lsh_meetings

from ._checks import check_array, check_caption, check_count, check_tokens
from ._hash_circle import HashFigure, or_itself

LONGEST = 32  # places; the cells of more are too small to see on a phone
MOST = 16  # rounds


class HashRounds(HashFigure):
    """Two maps of the same attention: full, and LSH with a number of rounds that the reader sets.

    Queries and keys are one set of vectors, the keys of length 1. On the left every query asks all the others, or all
    before it; on the right those that it has met in at least one round. Below stands, for each number of rounds, how
    much of the full map's weight lies on pairs that LSH has kept.

    Parameters
    ----------
    tokens : L texts
        One for each place, at most 32.
    shared : (L, d_k)
        The vectors.
    rotations : (rounds, d_k, b/2)
        R of each round, at most 16.
    chunk : int
        How many sorted places make a chunk, 2 to L.
    rounds : int
        How many rounds there are at first.
    query : int
        The place whose row is read out first, counted from 0.
    causal : bool
        If True, a place asks only places before it.
    caption : str, optional
        A sentence under the figure: what is to be seen.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If shapes do not fit or a number is out of range.

    Examples
    --------
    Three places, the last two alike, and one round that splits left from right. The third meets the second:

    >>> figure = HashRounds(list("abb"), [[-1.0, 0], [2, 0], [2, 0]], np.array([[[1.0], [0]]]), chunk=2)
    >>> figure.counts
    array([[1, 0, 0],
           [0, 1, 0],
           [0, 1, 0]])
    >>> figure.weights[2]
    array([0., 1., 0.])
    """

    name = "hash_rounds"
    readings = ("counts", "full", "weights", "kept")

    def __init__(
        self,
        tokens: Sequence[str],
        shared: Any,
        rotations: Any,
        *,
        chunk: int = 4,
        rounds: int = 1,
        query: int = 0,
        causal: bool = True,
        caption: str | None = None,
    ) -> None:
        tokens = check_tokens("tokens", tokens)
        shared = check_array("shared", shared, 2, "(L, d_k)")
        rotations = check_array("rotations", rotations, 3, "(rounds, d_k, b/2)")
        if not 2 <= len(tokens) <= LONGEST:
            raise ValueError(f"tokens: wanted 2 to {LONGEST}, got {len(tokens)}")
        if len(shared) != len(tokens):
            raise ValueError(f"shared: wanted {len(tokens)} rows as in tokens, got {len(shared)}")
        if not (np.linalg.norm(shared, axis=-1) > 0).all():
            raise ValueError("shared: wanted no row of zeros, which has no direction")
        if rotations.shape[1] != shared.shape[1]:
            raise ValueError(f"rotations: wanted d_k = {shared.shape[1]} as in shared, got {rotations.shape[1]}")
        if len(rotations) > MOST:
            raise ValueError(f"rotations: wanted at most {MOST} rounds, got {len(rotations)}")
        chunk = check_count("chunk", chunk, 2, len(tokens))
        rounds = check_count("rounds", rounds, 1, len(rotations))
        query = check_count("query", query, 0, len(tokens) - 1)
        check_flag("causal", causal)
        check_caption(caption)
        self.state = {
            "tokens": tokens,
            "shared": shared,
            "rotations": rotations,
            "chunk": chunk,
            "rounds": rounds,
            "query": query,
            "causal": causal,
            "caption": caption,
        }

    def _counts(self, rounds: int) -> np.ndarray:
        state = self.state
        bucket = angular_hash(state["shared"], state["rotations"][:rounds])
        return or_itself(lsh_meetings(bucket, chunk=state["chunk"], causal=state["causal"]))

    def _softmax(self, allowed: np.ndarray) -> np.ndarray:
        shared = self.state["shared"]
        keys = shared / np.linalg.norm(shared, axis=-1, keepdims=True)
        scores = np.where(allowed, shared @ keys.T / np.sqrt(shared.shape[1]), -np.inf)
        powers = np.exp(scores - scores.max(-1, keepdims=True))
        return powers / powers.sum(-1, keepdims=True)

    @property
    def counts(self) -> np.ndarray:
        """In how many rounds each query (rows) has met each key (columns), (L, L); 1 for itself where it is alone."""
        return self._counts(self.state["rounds"])

    @property
    def full(self) -> np.ndarray:
        """The weights of full attention, (L, L), itself aside unless alone."""
        count = len(self.state["tokens"])
        allowed = np.tri(count, k=-1, dtype=bool) if self.state["causal"] else ~np.eye(count, dtype=bool)
        allowed[0, 0] |= self.state["causal"]
        return self._softmax(allowed)

    @property
    def weights(self) -> np.ndarray:
        """The weights of LSH attention, (L, L)."""
        return self._softmax(self.counts > 0)

    @property
    def kept(self) -> np.ndarray:
        """The part of full attention's weight that lies on kept pairs, after each round, (rounds,)."""
        full = self.full
        rounds = range(1, len(self.state["rotations"]) + 1)
        return np.array([(full * (self._counts(r) > 0)).sum(-1).mean() for r in rounds])

    def summary(self) -> str:
        """Say in plain text what is to be seen."""
        state, kept = self.state, self.kept
        count, rounds = len(state["tokens"]), state["rounds"]
        pairs = (self.counts > 0).sum() - np.trace(self.counts > 0)
        full = count * (count - 1) // (2 if state["causal"] else 1)
        return (
            f"Full attention among {count} places beside LSH attention with {rounds} "
            f"round{'' if rounds == 1 else 's'}. LSH keeps {pairs} of {full} pairs, and on these lie "
            f"{100 * kept[rounds - 1]:.0f} per cent of the full map's weight; after {len(kept)} "
            f"round{'' if len(kept) == 1 else 's'} {100 * kept[-1]:.0f} per cent."
        )

    def table(self) -> str:
        """Write the weight kept after each round as an HTML table."""
        body = "\n".join(
            f'<tr><th scope="row">{r}</th><td>{np.count_nonzero(self._counts(r))}</td><td>{100 * part:.0f} %</td></tr>'
            for r, part in enumerate(self.kept, start=1)
        )
        caption = html.escape(self.state["caption"] or "What LSH attention keeps.")
        return f"""\
<div class="attn-scroll" tabindex="0" role="region" aria-label="What is kept, by rounds">
<table>
<caption>{caption}</caption>
<thead><tr><th scope="col">rounds</th><th scope="col">pairs and places alone</th>\
<th scope="col">weight kept</th></tr></thead>
<tbody>
{body}
</tbody>
</table>
</div>"""
