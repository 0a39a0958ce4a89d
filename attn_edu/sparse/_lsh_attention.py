r"""LSH attention: queries are keys, and a hash of their directions says who may attend to whom.

.. math:: o_i = \sum_{j \in P_i} \frac{e^{s_{ij}}}{\sum_{n \in P_i} e^{s_{in}}}\, v_j, \qquad
          s_{ij} = \frac{1}{\sqrt{d_k}}\, q_i \cdot \frac{q_j}{\|q_j\|}

In each of r rounds, position i meets j if both fall into one bucket, j ≠ i, and j's chunk of the sorted positions is
i's or the one before. :math:`P_i` holds whom i meets in any round, and i itself if that is nobody.
Source: Kitaev et al. (2020), section 2; see `lsh_attention` for what the paper leaves open.
"""

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from attn_edu import torch_ops
from attn_edu.checks import check_arrays, check_flag, check_is, check_width
from attn_edu.core import scaled_dot_product
from attn_edu.mechanism import Example, Mechanism, Sizes, claims

from ._hashed_attention import HashedAttention, Plan, make_plan

PATTERN = "shared: * L d_k, value: * L d_v, rotations: r d_k f"


def angular_hash(
    x: Float[np.ndarray, "*batch L d_k"],
    rotations: Float[np.ndarray, "r d_k f"],
    buckets: tuple[int, ...] | None = None,
) -> Int[np.ndarray, "*batch r L"]:
    r"""Say into which bucket each vector falls in each round: near directions often share one.

    .. math:: h(x) = \operatorname{argmax}\,[xR;\, -xR], \qquad R \in \mathbb{R}^{d_k \times b/2}

    With several numbers in `buckets`, each has its own columns of R, and the bucket is the tuple of its answers,
    numbered: :math:`b_1 b_2` buckets cost :math:`(b_1 + b_2) / 2` columns.

    Parameters
    ----------
    x : (..., L, d_k)
        Vectors. Their lengths do not matter.
    rotations : (r, d_k, f)
        A matrix R for each round, usually of standard normal numbers. f is half the sum of `buckets`.
    buckets : tuple of int, optional
        Even numbers; one, 2f, if left out.

    Returns
    -------
    bucket : (..., r, L) int
        From 0 to the product of the numbers, less 1.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, dtype or shape, or the numbers are not even or do not fit the rotations.

    References
    ----------
    Kitaev et al. (2020), section 2, after Andoni et al. (2015). Factors: the authors' own code.

    Examples
    --------
    With R = I in the plane, [xR; −xR] is (x₁, x₂, −x₁, −x₂): four quarters, each around half an axis.

    >>> x = np.array([[3.0, 1.0], [1.0, 3.0], [-3.0, 1.0], [1.0, -3.0], [30.0, 10.0]])
    >>> angular_hash(x, np.eye(2)[None])
    array([[0, 1, 2, 3, 0]])
    """
    check_arrays(np.ndarray, "x: * L d_k, rotations: r d_k f", x=x, rotations=rotations)
    buckets = (2 * rotations.shape[-1],) if buckets is None else buckets
    check_buckets(buckets, rotations.shape[-1])
    turned = np.einsum("...ld,rdf->...rlf", x, rotations)
    bucket = np.zeros(turned.shape[:-1], dtype=int)
    step, start = 1, 0
    for count in buckets:
        part = turned[..., start : start + count // 2]
        bucket += step * np.argmax(np.concatenate([part, -part], axis=-1), axis=-1)
        step, start = step * count, start + count // 2
    return bucket


def lsh_meetings(bucket: Int[np.ndarray, "*batch r L"], *, chunk: int, causal: bool = False) -> Int[np.ndarray, "..."]:
    """Count the rounds in which each position meets each other.

    Parameters
    ----------
    bucket : (..., r, L) int
        The bucket of each position in each round.
    chunk : int
        Positions in a chunk, once they are sorted by bucket and, within each, by position. The last may be shorter.
    causal : bool
        If True, position i meets none after it.

    Returns
    -------
    meetings : (..., L, L) int
        N: the number of rounds in which i, in its row, meets j, in its column. Nobody meets himself.

    Raises
    ------
    TypeError, ValueError
        If `bucket` is no array of integers with two axes or more, `chunk` is below 1, or `causal` is not a bool.

    Examples
    --------
    One round, buckets 0, 1, 0, 0 and 0: sorted, the positions are 0, 2 | 3, 4 | 1. The last of bucket 0 looks one chunk
    back, and the first does not look ahead:

    >>> lsh_meetings(np.array([[0, 1, 0, 0, 0]]), chunk=2)
    array([[0, 0, 1, 0, 0],
           [0, 0, 0, 0, 0],
           [1, 0, 0, 0, 0],
           [1, 0, 1, 0, 1],
           [1, 0, 1, 1, 0]])
    """
    if not isinstance(bucket, np.ndarray) or bucket.dtype.kind != "i" or bucket.ndim < 2:
        raise TypeError(f"bucket: wanted an array of integers (..., r, L), got {bucket!r}")
    check_width("chunk", chunk)
    check_flag("causal", causal)
    place = np.argsort(np.argsort(bucket, axis=-1, kind="stable"), axis=-1)  # where the sort puts each position
    back = (place // chunk)[..., :, None] - (place // chunk)[..., None, :]
    meets = (bucket[..., :, None] == bucket[..., None, :]) & ((back == 0) | (back == 1))
    i, j = np.arange(bucket.shape[-1])[:, None], np.arange(bucket.shape[-1])
    return np.sum(meets & (j < i if causal else j != i), axis=-3)


def lsh_attention(
    shared: Float[np.ndarray, "*batch L d_k"],
    value: Float[np.ndarray, "*batch L d_v"],
    *,
    rotations: Float[np.ndarray, "r d_k f"],
    buckets: tuple[int, ...],
    chunk: int,
    causal: bool = False,
) -> tuple[Float[np.ndarray, "*batch L d_v"], Float[np.ndarray, "*batch L L"]]:
    r"""Attend to those whom a hash has put near, in any of its rounds.

    Each round alone gives :math:`o^{(r)}_i` and the log of the sum of its exponentials, :math:`\ell^{(r)}_i`. A pair
    that meets in :math:`N_{ij}` rounds has :math:`\log N_{ij}` subtracted from its score in each, and the rounds are
    joined with weights :math:`e^{\ell^{(r)}_i - \ell_i}`. So each pair counts once, and the sum is one softmax over the
    union. That is what is computed here.

    Parameters
    ----------
    shared : (..., L, d_k)
        Queries, and keys once they have length 1.
    value : (..., L, d_v)
        V.
    rotations : (r, d_k, f)
        A matrix for each round of hashing, see `angular_hash`.
    buckets : tuple of int
        Even numbers: into how many buckets each round sorts, one number or its factors.
    chunk : int
        Positions in a chunk of the sorted sequence. Kitaev et al. take twice the average bucket.
    causal : bool
        If True, position i attends to earlier positions only.

    Returns
    -------
    output : (..., L, d_v)
        Weighted averages of values.
    weights : (..., L, L)
        The attention weights; exactly 0 for all that i never meets.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, dtype or shape, or the numbers of buckets do not fit the rotations.

    Notes
    -----
    As in the paper, a chunk looks at the one before within its round only, the first at none, and only pairs within one
    bucket meet; common code lets chunks look further. Two choices are ours. Scores are divided by √d_k, which the paper
    omits for clarity; and N counts the rounds in which a pair *meets*, where the paper's counts the rounds in which it
    shares a bucket: with that, a pair that a border parts in one round would count less than once. Chunks are cut after
    everything is sorted, so even in causal order a later position can move their borders, and with them whom an earlier
    one meets.

    References
    ----------
    Kitaev et al. (2020), section 2 and appendix A.

    Examples
    --------
    R = I in the plane: positions 0, 1 and 2 point right and share a bucket, 3 points up and is alone. Position 0 meets
    1 and 2, whose keys score equally; 3 attends to itself:

    >>> shared = np.array([[1.0, 0.0], [2.0, 0.0], [5.0, 0.0], [0.0, 1.0]])
    >>> value = np.array([[1.0], [2.0], [4.0], [8.0]])
    >>> output, weights = lsh_attention(shared, value, rotations=np.eye(2)[None], buckets=(4,), chunk=4)
    >>> weights[[0, 3]]
    array([[0. , 0.5, 0.5, 0. ],
           [0. , 0. , 0. , 1. ]])
    >>> output[[0, 3], 0]
    array([3., 8.])
    """
    check_arrays(np.ndarray, PATTERN, shared=shared, value=value, rotations=rotations)
    check_options(buckets, chunk, causal, rotations.shape[-1])
    meetings = lsh_meetings(angular_hash(shared, rotations, buckets), chunk=chunk, causal=causal)
    alone = ~np.any(meetings, axis=-1, keepdims=True)
    allowed = (meetings > 0) | (alone & np.eye(shared.shape[-2], dtype=bool))
    norm = np.linalg.norm(shared, axis=-1, keepdims=True)
    key = shared / np.where(norm == 0, 1, norm)
    return scaled_dot_product(shared, key, value, attn_mask=allowed)


def check_buckets(buckets: Any, columns: int | None = None) -> None:
    """Check that numbers of buckets are even, and fit the columns of the rotations."""
    if not isinstance(buckets, tuple) or not buckets:
        raise TypeError(f"buckets: wanted a tuple of even numbers, got {buckets!r}")
    for count in buckets:
        check_width("buckets", count, least=2)
        if count % 2:
            raise ValueError(f"buckets: wanted even numbers, got {buckets}")
    if columns is not None and 2 * columns != sum(buckets):
        raise ValueError(f"rotations: wanted {sum(buckets) // 2} columns, half the sum of {buckets}, got {columns}")


def check_options(buckets: Any, chunk: Any, causal: Any, columns: int | None = None) -> None:
    """Check the options; both forms do."""
    check_buckets(buckets, columns)
    check_width("chunk", chunk)
    check_flag("causal", causal)


class LshAttention(nn.Module):
    """`lsh_attention` as a PyTorch module; its one buffer holds the rotations.

    Each round sorts positions by bucket and attends within chunks of the sorted sequence, a few at a time. Time grows
    with L · chunk · rounds, besides hashing and sorting. Only if weights are asked for is an L×L matrix made.

    Parameters
    ----------
    d_k : int
        Width of the shared queries and keys.
    rounds : int
        How often to hash. The buffer `rotations` has shape (rounds, d_k, sum(buckets) / 2).
    buckets : tuple of int
        Even numbers, see `angular_hash`.
    chunk : int
        Positions in a chunk.
    causal : bool
        If True, position i attends to earlier positions only.

    Raises
    ------
    TypeError, ValueError
        If a number is no integer or too small, `buckets` no tuple of even numbers, or `causal` not a bool.

    Examples
    --------
    >>> layer = LshAttention(d_k=2, rounds=1, buckets=(4,), chunk=4)
    >>> _ = layer.load_state_dict({"rotations": torch.eye(2)[None]})
    >>> shared = torch.tensor([[1.0, 0.0], [2.0, 0.0], [5.0, 0.0], [0.0, 1.0]])
    >>> layer(shared, torch.tensor([[1.0], [2.0], [4.0], [8.0]]))[0][[0, 3], 0]
    tensor([3., 8.])
    """

    rotations: Tensor

    def __init__(self, d_k: int, rounds: int, buckets: tuple[int, ...], chunk: int, causal: bool = False) -> None:
        super().__init__()
        check_width("d_k", d_k)
        check_width("rounds", rounds)
        check_options(buckets, chunk, causal)
        self.buckets, self.chunk, self.causal = buckets, chunk, causal
        self.register_buffer("rotations", torch.empty(rounds, d_k, sum(buckets) // 2))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the rotations anew: standard normal numbers."""
        nn.init.normal_(self.rotations)

    @torch.no_grad()
    def hash(self, x: Float[Tensor, "*batch L d_k"]) -> Int[Tensor, "*batch r L"]:
        """Return the bucket of each vector in each round, as `angular_hash` does, in single precision at least."""
        check_arrays(Tensor, "x: * L d_k", x=x)
        if x.shape[-1] != (d_k := self.rotations.shape[1]):
            raise ValueError(f"x: wanted shape (*, L, d_k) with d_k = {d_k} as in rotations, got {tuple(x.shape)}")
        dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
        columns = self.rotations.to(dtype).transpose(0, 1)  # d_k, r, f
        turned = (x.to(dtype) @ columns.flatten(1)).unflatten(-1, columns.shape[1:]).transpose(-3, -2)
        bucket, step = torch.zeros(turned.shape[:-1], dtype=torch.int64, device=x.device), 1
        for count, part in zip(self.buckets, turned.split([n // 2 for n in self.buckets], -1), strict=True):
            top, first = part.max(-1)
            low, last = part.min(-1)
            bucket += step * torch.where(top >= -low, first, last + count // 2)
            step *= count
        return bucket

    def forward(
        self,
        shared: Float[Tensor, "*batch L d_k"],
        value: Float[Tensor, "*batch L d_v"],
        need_weights: bool = True,
        bucket: Int[Tensor, "*batch r L"] | None = None,
    ) -> tuple[Float[Tensor, "*batch L d_v"], Float[Tensor, "*batch L L"] | None]:
        """Return the output (..., L, d_v), and the weights (..., L, L) if `need_weights`, else None.

        With `bucket`, what `hash` returned before for vectors nearly the same, nothing is hashed again.
        """
        check_arrays(Tensor, PATTERN, shared=shared, value=value, rotations=self.rotations)
        batch, scale = shared.shape[:-2], 1 / math.sqrt(shared.shape[-1])
        dtype = torch.float64 if shared.dtype == torch.float64 else torch.float32
        q, v = (x.reshape(math.prod(batch), *x.shape[-2:]).to(dtype) for x in (shared, value))
        wanted = (*batch, len(self.rotations), shared.shape[-2])
        check_is("bucket", bucket, Tensor | None, "a torch.Tensor")
        if bucket is not None and (bucket.shape != wanted or bucket.is_floating_point()):
            raise ValueError(f"bucket: wanted integers of shape {wanted}, got {bucket.dtype}, {tuple(bucket.shape)}")
        plan = make_plan(self.hash(q) if bucket is None else bucket.reshape(len(q), *wanted[-2:]), self.chunk)
        if not need_weights:
            output = HashedAttention.apply(q, v, plan, self.chunk, self.causal, scale)
            return output.to(value.dtype).reshape(value.shape), None
        weights = torch_ops.masked_softmax(scale * q @ F.normalize(q, dim=-1, eps=1e-30).mT, self.sees(plan))
        output, weights = ((x.to(value.dtype)).reshape(*batch, *x.shape[1:]) for x in (weights @ v, weights))
        return output, weights

    def sees(self, plan: Plan) -> Tensor:
        """Return whom each position attends to: (n, L, L), True where it does."""
        length = plan.code.shape[-1]
        near = (((plan.code[..., :, None] - plan.code[..., None, :]) & -2) == 0).any(1)
        itself = torch.eye(length, dtype=torch.bool, device=near.device)
        near = near.tril(-1) if self.causal else near & ~itself
        return near | (itself & ~near.any(-1, keepdim=True))


def examples(rng: np.random.Generator, sizes: Sizes) -> dict[str, Example]:
    """Draw one round and several, factored buckets, causal order, and chunks that hold everything."""
    arrays = {
        "shared": rng.normal(size=(*sizes.batch, sizes.L, sizes.d_k)),
        "value": rng.normal(size=(*sizes.batch, sizes.L, sizes.d_v)),
    }

    def draw(rounds: int, **options: Any) -> Example:
        rotations = rng.normal(size=(rounds, sizes.d_k, sum(options["buckets"]) // 2))
        return Example(arrays, {"rotations": rotations}, options, {"d_k": sizes.d_k, "rounds": rounds})

    return {
        "one round": draw(1, buckets=(4,), chunk=3),
        "rounds": draw(3, buckets=(4,), chunk=2),
        "causal": draw(2, buckets=(2,), chunk=3, causal=True),
        "factored": draw(4, buckets=(2, 4), chunk=2, causal=True),
        "one chunk": draw(2, buckets=(2,), chunk=40),
    }


MECHANISM = Mechanism(
    title="LSH attention",
    citation="kitaev2020reformer",
    equation=r"\begin{gathered} \operatorname{softmax}_{j \in P_i}\!\left("
    r"\frac{q_i \cdot q_j}{\sqrt{d_k}\, \|q_j\|}\right) \\ P_i: j \ne i \text{ of its bucket, in its chunk} \\ "
    r"\text{or the one before, in any round;} \\ \text{itself if there are none} \end{gathered}",
    cost=r"O(r L (c\,(d_k + d_v) + d_k f + \log L))",
    kind="attention",
    reference=lsh_attention,
    module=LshAttention,
    examples=examples,
    recompose=lambda weights, value, **_: weights @ value,
    properties=claims(
        holds="rows_sum_to_one weights_not_negative linear_in_values",
        fails="equivariant_to_query_order causal_when_asked",
        does_not_apply={
            "invariant_to_key_order": "keys are the queries",
            "largest_on_diagonal": "no position attends to itself while it has others",
        },
    ),
    refuses={
        "buckets": ((), (3,), (0,), [4], 4, (2.0,)),
        "chunk": (0, 2.5, None),
        "causal": (1, "yes", None),
        "d_k": (0, 2.5),
        "rounds": (0, 1.5),
    },
    chapter="notebooks/long/03_hashing",
)
