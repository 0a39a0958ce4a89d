r"""Long short-term memory-network: an LSTM that keeps every hidden state and memory on a tape, and reads the tape.

.. math:: s^t = \operatorname{softmax}(a^t), \qquad
          a_i^t = v^\top \tanh(W_h h_i + W_x x_t + W_{\tilde h} \tilde h_{t-1})

.. math:: \begin{bmatrix} \tilde h_t \\ \tilde c_t \end{bmatrix} = \sum_{i=1}^{t-1} s_i^t
          \begin{bmatrix} h_i \\ c_i \end{bmatrix}, \qquad
          \begin{bmatrix} i_t \\ f_t \\ o_t \\ \hat c_t \end{bmatrix} =
          \begin{bmatrix} \sigma \\ \sigma \\ \sigma \\ \tanh \end{bmatrix} (W [\tilde h_t; x_t] + b)

.. math:: c_t = f_t \odot \tilde c_t + i_t \odot \hat c_t, \qquad h_t = o_t \odot \tanh(c_t)

Source: Cheng, Dong and Lapata (2016), section 3. They write no bias; their code has one, as every LSTM in use. The sum
over an empty tape is zero: so :math:`\tilde h_1 = \tilde c_1 = 0`, and :math:`\tilde h_0 = 0` is taken with it.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from attn_edu import np_ops, torch_ops
from attn_edu.checks import check_arrays, check_width
from attn_edu.mechanism import Example, Mechanism, Sizes, claims

PATTERN = "x: * L d_in, W_h: n d, W_x: n d_in, W_ht: n d, v: n, W: four_d both, b: four_d"


def check_gates(name: str, shape: tuple[int, ...], gates: int, d: int, d_in: int) -> None:
    """Check that a matrix takes [h̃; x], of width d + d_in, to so many gates of width d."""
    if tuple(shape) != (gates * d, d + d_in):
        wanted = f"({gates}·d, d + d_in)" if gates > 1 else "(d, d + d_in)"
        raise ValueError(f"{name}: wanted shape {wanted} with d = {d} and d_in = {d_in}, got {tuple(shape)}")


def sigmoid(z: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """1 / (1 + exp(−z)), written so that nothing overflows."""
    return (1 + np.tanh(z / 2)) / 2


def lstmn(
    x: Float[np.ndarray, "*batch L d_in"],
    *,
    W_h: Float[np.ndarray, "n d"],
    W_x: Float[np.ndarray, "n d_in"],
    W_ht: Float[np.ndarray, "n d"],
    v: Float[np.ndarray, " n"],
    W: Float[np.ndarray, "4*d d+d_in"],
    b: Float[np.ndarray, " 4*d"],
    attn_mask: Bool[np.ndarray, "..."] | None = None,
) -> tuple[Float[np.ndarray, "*batch L d"], Float[np.ndarray, "*batch L L"], Float[np.ndarray, "*batch L 3 d"]]:
    """Read a sequence from left to right; at each place attend to what was written at all places before.

    Parameters
    ----------
    x : (..., L, d_in)
        Sequence.
    W_h, W_x, W_ht : (n, d), (n, d_in), (n, d)
        What a hidden state on the tape, the present input and the summary read one step before add to the score.
        W_ht is the paper's W with a tilde on its h.
    v : (n,)
        Reads the score off.
    W, b : (4·d, d + d_in), (4·d,)
        Input gate, forget gate, output gate and candidate, in this order, from the summary and the input.
    attn_mask : bool array that broadcasts to (..., L, L), optional
        True where place t may attend to slot i. Only earlier slots can be attended to, whatever it says.

    Returns
    -------
    output : (..., L, d)
        The hidden states h_t.
    weights : (..., L, L)
        Row t is the softmax over slots before t, zero elsewhere; the first row is zero.
    state : (..., L, 3, d)
        At each place h_t, c_t and the summary h̃_t: the hidden tape, the memory tape, and what was read.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, dtype or shape.

    References
    ----------
    Cheng, Dong and Lapata (2016), section 3.

    Examples
    --------
    All widths are 1. Biases of 50 open the three gates, and tanh(½ ln 3) = ½, so each step adds ½ to what it has read.
    The first has read nothing: c = ½. The second reads it: c = ½ + ½ = 1. For the third, the tanh in the score is
    −1 for the first slot (100·tanh ½ < 110·½ ln 3) and 1 for the second, v takes these to ∓½ ln 3, and the weights are
    ¼ and ¾: c = ¼·½ + ¾·1 + ½ = 1.375.

    >>> x = np.full((3, 1), np.log(3) / 2)
    >>> output, weights, state = lstmn(
    ...     x, W_h=np.array([[100.0]]), W_x=np.array([[-110.0]]), W_ht=np.zeros((1, 1)), v=np.array([np.log(3) / 2]),
    ...     W=np.array([[0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 1.0]]), b=np.array([50.0, 50.0, 50.0, 0.0]),
    ... )
    >>> weights.round(6)
    array([[0.  , 0.  , 0.  ],
           [1.  , 0.  , 0.  ],
           [0.25, 0.75, 0.  ]])
    >>> state[:, 1].T.round(6)
    array([[0.5  , 1.   , 1.375]])
    """
    check_arrays(np.ndarray, PATTERN, x=x, W_h=W_h, W_x=W_x, W_ht=W_ht, v=v, W=W, b=b)
    *batch, length, d_in = x.shape
    d = W_h.shape[1]
    check_gates("W", W.shape, 4, d, d_in)
    allowed = np_ops.may_attend(attn_mask, False, (*batch, length, length))
    state, weights = np.zeros((*batch, length, 3, d), x.dtype), np.zeros((*batch, length, length), x.dtype)
    hidden, memory, summary = state[..., 0, :], state[..., 1, :], state[..., 2, :]  # views of the tape
    before = np.zeros((*batch, d), x.dtype)
    for t in range(length):
        query = x[..., t, :] @ W_x.T + before @ W_ht.T
        scores = np.tanh(hidden[..., :t, :] @ W_h.T + query[..., None, :]) @ v
        s = np_ops.masked_softmax(scores, allowed[..., t, :t])
        h_tilde = np.einsum("...i,...id->...d", s, hidden[..., :t, :])
        c_tilde = np.einsum("...i,...id->...d", s, memory[..., :t, :])
        i, f, o, candidate = np.split(np.concatenate([h_tilde, x[..., t, :]], -1) @ W.T + b, 4, axis=-1)
        memory[..., t, :] = sigmoid(f) * c_tilde + sigmoid(i) * np.tanh(candidate)
        hidden[..., t, :] = sigmoid(o) * np.tanh(memory[..., t, :])
        summary[..., t, :] = before = h_tilde
        weights[..., t, :t] = s
    return hidden.copy(), weights, state


class LSTMN(nn.Module):
    """`lstmn` as a PyTorch module with parameters W_h, W_x, W_ht, v, W and b.

    Parameters
    ----------
    d_in : int
        Width of the inputs.
    width : int
        d, the width of hidden states and memories.
    score_width : int, optional
        n, the width inside the score; as wide as the states where it is not given.

    Raises
    ------
    TypeError, ValueError
        If `d_in`, `width` or `score_width` is not an integer of at least 1.

    Examples
    --------
    >>> layer = LSTMN(d_in=1, width=1)
    >>> half = torch.tensor([0.5493061])  # tanh of it is ½
    >>> _ = layer.load_state_dict({
    ...     "W_h": torch.tensor([[100.0]]), "W_x": torch.tensor([[-110.0]]), "W_ht": torch.zeros(1, 1), "v": half,
    ...     "W": torch.tensor([[0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 1.0]]),
    ...     "b": torch.tensor([50.0, 50.0, 50.0, 0.0]),
    ... })
    >>> output, weights, state = layer(half.expand(3, 1))
    >>> weights.detach()
    tensor([[0.0000, 0.0000, 0.0000],
            [1.0000, 0.0000, 0.0000],
            [0.2500, 0.7500, 0.0000]])
    >>> state[:, 1].detach().T
    tensor([[0.5000, 1.0000, 1.3750]])
    """

    def __init__(self, d_in: int, width: int, score_width: int | None = None) -> None:
        super().__init__()
        check_width("d_in", d_in)
        check_width("width", width)
        n = width if score_width is None else score_width
        check_width("score_width", n)
        self.W_h = nn.Parameter(torch.empty(n, width))
        self.W_x = nn.Parameter(torch.empty(n, d_in))
        self.W_ht = nn.Parameter(torch.empty(n, width))
        self.v = nn.Parameter(torch.empty(n))
        self.W = nn.Parameter(torch.empty(4 * width, width + d_in))
        self.b = nn.Parameter(torch.empty(4 * width))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all parameters uniformly from ±1/√d, the range of PyTorch's own LSTM."""
        bound = 1 / math.sqrt(self.W_h.shape[1])
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def _check(self, **x: Tensor) -> None:
        parameters = {name: getattr(self, name) for name in ("W_h", "W_x", "W_ht", "v", "W", "b")}
        check_arrays(Tensor, PATTERN, **x, **parameters)

    def _advance(
        self, query: Tensor, gates: Tensor, keys: Tensor, hidden: Tensor, memory: Tensor, allowed: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return h_t, c_t, h̃_t and the weights, given what x_t and h̃_{t−1} add to the score, and x_t to the gates."""
        s = torch_ops.masked_softmax(torch.tanh(keys + query.unsqueeze(-2)) @ self.v, allowed)
        h_tilde, c_tilde = ((s.unsqueeze(-2) @ tape).squeeze(-2) for tape in (hidden, memory))
        opened = gates + h_tilde @ self.W[:, : hidden.shape[-1]].T
        i, f, o, candidate = opened.chunk(4, -1)
        c = f.sigmoid() * c_tilde + i.sigmoid() * candidate.tanh()
        return o.sigmoid() * c.tanh(), c, h_tilde, s

    def step(
        self, x: Float[Tensor, "*batch d_in"], state: Float[Tensor, "*batch before 3 d"]
    ) -> tuple[Float[Tensor, "*batch d"], Float[Tensor, "*batch before"], Float[Tensor, "*batch after 3 d"]]:
        """Advance by one place: return h_t (..., d), its weights (..., t − 1) and the state with one slot more.

        The state before the first step has no slots: shape (..., 0, 3, d).
        """
        check_arrays(Tensor, "x: * d_in, state: * t slots d", x=x, state=state)
        self._check(x=x.unsqueeze(-2))
        d = self.W_h.shape[1]
        if state.shape[:-3] != x.shape[:-1] or state.shape[-2:] != (3, d):
            raise ValueError(f"state: wanted shape (*{tuple(x.shape[:-1])}, t, 3, {d}), got {tuple(state.shape)}")
        hidden, memory, summary = state.unbind(-2)
        query = x @ self.W_x.T
        if state.shape[-3]:
            query = query + summary[..., -1, :] @ self.W_ht.T
        gates = x @ self.W[:, d:].T + self.b
        h, c, h_tilde, s = self._advance(query, gates, hidden @ self.W_h.T, hidden, memory, None)
        return h, s, torch.cat([state, torch.stack([h, c, h_tilde], -2).unsqueeze(-3)], -3)

    def forward(
        self, x: Float[Tensor, "*batch L d_in"], attn_mask: Bool[Tensor, "..."] | None = None
    ) -> tuple[Float[Tensor, "*batch L d"], Float[Tensor, "*batch L L"], Float[Tensor, "*batch L 3 d"]]:
        """Return the hidden states (..., L, d), the weights (..., L, L) and the state (..., L, 3, d)."""
        self._check(x=x)
        *batch, length, _ = x.shape
        d = self.W_h.shape[1]
        allowed = torch_ops.may_attend(attn_mask, False, (*batch, length, length), x.device)
        if allowed is not None:
            allowed = allowed.expand(*allowed.shape[:-2], length, length)
        # What the inputs add needs no recurrence, and a slot's part of the score is reckoned once, when it is written.
        queries, gates = x @ self.W_x.T, x @ self.W[:, d:].T + self.b
        empty = x.new_zeros(*batch, 0, d)
        keys, hidden, memory = x.new_zeros(*batch, 0, len(self.v)), empty, empty
        slots: list[Tensor] = []
        rows: list[Tensor] = []
        for t in range(length):
            query = queries[..., t, :] + slots[-1][..., 2, :] @ self.W_ht.T if t else queries[..., t, :]
            may = None if allowed is None else allowed[..., t, :t]
            h, c, h_tilde, s = self._advance(query, gates[..., t, :], keys, hidden, memory, may)
            slots.append(torch.stack([h, c, h_tilde], -2))
            rows.append(F.pad(s, (0, length - t)))
            keys = torch.cat([keys, (h @ self.W_h.T).unsqueeze(-2)], -2)
            hidden, memory = torch.cat([hidden, h.unsqueeze(-2)], -2), torch.cat([memory, c.unsqueeze(-2)], -2)
        if not length:
            return empty, x.new_zeros(*batch, 0, 0), x.new_zeros(*batch, 0, 3, d)
        return hidden, torch.stack(rows, -2), torch.stack(slots, -3)


def examples(rng: np.random.Generator, sizes: Sizes) -> dict[str, Example]:
    """Draw one example of each use: d_in = d_k, states of width d, a score h wide."""
    n, d, d_in = sizes.h, sizes.d, sizes.d_k
    x = rng.normal(size=(*sizes.batch, sizes.L, d_in))
    shapes = {"W_h": (n, d), "W_x": (n, d_in), "W_ht": (n, d), "v": (n,), "W": (4 * d, d + d_in), "b": (4 * d,)}
    parameters = {name: rng.normal(size=shape) / math.sqrt(shape[-1]) for name, shape in shapes.items()}
    widths = {"d_in": d_in, "width": d, "score_width": n}
    mask = rng.random((sizes.L, sizes.L)) < 0.6
    mask[2:3] = False  # a place that may read nothing
    masked = {"masked": Example({"x": x, "attn_mask": mask}, parameters, {}, widths)}
    return {"plain": Example({"x": x}, parameters, {}, widths), **masked}


MECHANISM = Mechanism(
    title="LSTMN (intra-attention)",
    citation="cheng2016long",
    equation=r"\begin{gathered} s^t = \operatorname{softmax}_i\, v^\top \tanh(W_h h_i + W_x x_t "
    r"+ W_{\tilde h} \tilde h_{t-1}) \\ "
    r"c_t = f_t \odot \textstyle\sum_{i<t} s_i^t c_i + i_t \odot \hat c_t \end{gathered}",
    cost=r"O(L^2 d + L d^2)",
    kind="recurrent",
    reference=lstmn,
    module=LSTMN,
    examples=examples,
    properties=claims(
        holds="rows_sum_to_one weights_not_negative",
        fails="equivariant_to_query_order largest_on_diagonal",
        does_not_apply={
            "invariant_to_key_order": "keys are made of the sequence itself",
            "causal_when_asked": "always causal",
            "linear_in_values": "no values apart from x",
        },
    ),
    refuses={"d_in": (0, 2.5), "width": (0, None), "score_width": (0, "wide")},
    chapter="notebooks/origins/06_self_reading",
)
