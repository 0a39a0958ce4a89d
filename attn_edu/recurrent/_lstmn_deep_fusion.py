r"""LSTMN with deep attention fusion: a decoder step that reads its own tape and the source's, and stores both.

.. math:: p^t = \operatorname{softmax}_j\, u^\top \tanh(U_h \gamma_j + U_x x_t + U_{\tilde h} \tilde\gamma_{t-1}),
          \qquad \begin{bmatrix} \tilde\gamma_t \\ \tilde\alpha_t \end{bmatrix} = \sum_j p_j^t
          \begin{bmatrix} \gamma_j \\ \alpha_j \end{bmatrix}

.. math:: r_t = \sigma(W_r [\tilde\gamma_t; x_t] + b_r), \qquad
          c_t = r_t \odot \tilde\alpha_t + f_t \odot \tilde c_t + i_t \odot \hat c_t

All else is as in `lstmn`: the tape read gives :math:`\tilde h_t, \tilde c_t`, these the gates, and
:math:`h_t = o_t \odot \tanh(c_t)`. Source: Cheng, Dong and Lapata (2016), section 4, with γ for the source's hidden
tape and α for its memory tape. What is U here is written W there, with γ as index.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from attn_edu import np_ops, torch_ops
from attn_edu.checks import check_arrays, check_width
from attn_edu.mechanism import Example, Mechanism, Sizes, claims

from ._lstmn import check_gates, sigmoid

NAMES = ("W_h", "W_x", "W_ht", "v", "U_h", "U_x", "U_ht", "u", "W", "b", "W_r", "b_r")
PATTERN = (
    "x: * L d_in, W_h: n d, W_x: n d_in, W_ht: n d, v: n, U_h: n d, U_x: n d_in, U_ht: n d, u: n, "
    "key: * S d, value: * S d, W: four_d both, b: four_d, W_r: d both, b_r: d"
)


def lstmn_deep_fusion(
    x: Float[np.ndarray, "*batch L d_in"],
    key: Float[np.ndarray, "*batch S d"],
    value: Float[np.ndarray, "*batch S d"],
    *,
    W_h: Float[np.ndarray, "n d"],
    W_x: Float[np.ndarray, "n d_in"],
    W_ht: Float[np.ndarray, "n d"],
    v: Float[np.ndarray, " n"],
    U_h: Float[np.ndarray, "n d"],
    U_x: Float[np.ndarray, "n d_in"],
    U_ht: Float[np.ndarray, "n d"],
    u: Float[np.ndarray, " n"],
    W: Float[np.ndarray, "4*d d+d_in"],
    b: Float[np.ndarray, " 4*d"],
    W_r: Float[np.ndarray, "d d+d_in"],
    b_r: Float[np.ndarray, " d"],
) -> tuple[
    Float[np.ndarray, "*batch L d"],
    tuple[Float[np.ndarray, "*batch L L"], Float[np.ndarray, "*batch L S"]],
    Float[np.ndarray, "*batch L 4 d"],
]:
    """Read a target from left to right; at each place attend to its own past and to a source already read.

    Parameters
    ----------
    x : (..., L, d_in)
        Target sequence.
    key, value : (..., S, d), (..., S, d)
        The source's hidden tape γ and memory tape α. The hidden tape is read with the memory tape, by the same weights.
    W_h, W_x, W_ht, v : (n, d), (n, d_in), (n, d), (n,)
        Score of the target's own slots, as in `lstmn`.
    U_h, U_x, U_ht, u : (n, d), (n, d_in), (n, d), (n,)
        Score of the source's slots: from γ_j, the present input and the source summary read one step before.
    W, b : (4·d, d + d_in), (4·d,)
        Input gate, forget gate, output gate and candidate, in this order, from h̃_t and x_t.
    W_r, b_r : (d, d + d_in), (d,)
        The gate r_t of the source's memory, from γ̃_t and x_t.

    Returns
    -------
    output : (..., L, d)
        The hidden states h_t.
    weights : pair of (..., L, L) and (..., L, S)
        Of the target's own slots, with nothing on and above the diagonal, and of the source's.
    state : (..., L, 4, d)
        At each place h_t, c_t, h̃_t and γ̃_t.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, dtype or shape.

    References
    ----------
    Cheng, Dong and Lapata (2016), section 4, deep attention fusion.

    Examples
    --------
    All widths are 1, all gates are open, and the candidate is 0. The source's slots score −½ ln 3 and ½ ln 3, so their
    weights are ¼ and ¾, and each step takes ¼·4 + ¾·8 = 7 from the source's memory: c = 7, then 7 + 7.

    >>> zero, half = np.zeros((1, 1)), np.array([np.log(3) / 2])
    >>> output, (own, source), state = lstmn_deep_fusion(
    ...     np.zeros((2, 1)), np.array([[-100.0], [100.0]]), np.array([[4.0], [8.0]]), W_h=zero, W_x=zero, W_ht=zero,
    ...     v=half, U_h=np.ones((1, 1)), U_x=zero, U_ht=zero, u=half, W=np.zeros((4, 2)),
    ...     b=np.array([50.0, 50.0, 50.0, 0.0]), W_r=np.zeros((1, 2)), b_r=np.array([50.0]),
    ... )
    >>> source, own
    (array([[0.25, 0.75],
           [0.25, 0.75]]), array([[0., 0.],
           [1., 0.]]))
    >>> state[:, 1].T
    array([[ 7., 14.]])
    """
    given = locals()
    check_arrays(np.ndarray, PATTERN, x=x, key=key, value=value, **{name: given[name] for name in NAMES})
    *batch, length, d_in = x.shape
    d = W_h.shape[1]
    check_gates("W", W.shape, 4, d, d_in)
    state, own = np.zeros((*batch, length, 4, d), x.dtype), np.zeros((*batch, length, length), x.dtype)
    source = np.zeros((*batch, length, key.shape[-2]), x.dtype)
    hidden, memory = state[..., 0, :], state[..., 1, :]  # views of the tape
    h_tilde = g_tilde = np.zeros((*batch, d), x.dtype)
    for t in range(length):
        now = x[..., t, :]
        query = now @ W_x.T + h_tilde @ W_ht.T
        scores = np.tanh(hidden[..., :t, :] @ W_h.T + query[..., None, :]) @ v
        s = np_ops.masked_softmax(scores, np.ones(scores.shape, dtype=bool))
        query = now @ U_x.T + g_tilde @ U_ht.T
        scores = np.tanh(key @ U_h.T + query[..., None, :]) @ u
        p = np_ops.masked_softmax(scores, np.ones(scores.shape, dtype=bool))
        h_tilde, c_tilde = (np.einsum("...i,...id->...d", s, tape[..., :t, :]) for tape in (hidden, memory))
        g_tilde, a_tilde = (np.einsum("...j,...jd->...d", p, tape) for tape in (key, value))
        i, f, o, candidate = np.split(np.concatenate([h_tilde, now], -1) @ W.T + b, 4, axis=-1)
        r = np.concatenate([g_tilde, now], -1) @ W_r.T + b_r
        c = sigmoid(r) * a_tilde + sigmoid(f) * c_tilde + sigmoid(i) * np.tanh(candidate)
        state[..., t, :, :] = np.stack([sigmoid(o) * np.tanh(c), c, h_tilde, g_tilde], -2)
        own[..., t, :t], source[..., t, :] = s, p
    return hidden.copy(), (own, source), state


class LSTMNDeepFusion(nn.Module):
    """`lstmn_deep_fusion` as a PyTorch module, with the parameters of the same names.

    Parameters
    ----------
    d_in : int
        Width of the inputs.
    width : int
        d, the width of hidden states and memories, the source's too.
    score_width : int, optional
        n, the width inside both scores; as wide as the states where it is not given.

    Raises
    ------
    TypeError, ValueError
        If `d_in`, `width` or `score_width` is not an integer of at least 1.

    Examples
    --------
    >>> layer = LSTMNDeepFusion(d_in=1, width=1)
    >>> _ = [nn.init.zeros_(parameter) for parameter in layer.parameters()]
    >>> _ = nn.init.constant_(layer.u, 0.5493061), nn.init.ones_(layer.U_h)
    >>> _ = nn.init.constant_(layer.b[:3], 50), nn.init.constant_(layer.b_r, 50)
    >>> output, (own, source), state = layer(
    ...     torch.zeros(2, 1), torch.tensor([[-100.0], [100.0]]), torch.tensor([[4.0], [8.0]])
    ... )
    >>> source.detach(), state[:, 1].detach().T
    (tensor([[0.2500, 0.7500],
            [0.2500, 0.7500]]), tensor([[ 7., 14.]]))
    """

    def __init__(self, d_in: int, width: int, score_width: int | None = None) -> None:
        super().__init__()
        check_width("d_in", d_in)
        check_width("width", width)
        n = width if score_width is None else score_width
        check_width("score_width", n)
        self.W_h, self.U_h = nn.Parameter(torch.empty(n, width)), nn.Parameter(torch.empty(n, width))
        self.W_x, self.U_x = nn.Parameter(torch.empty(n, d_in)), nn.Parameter(torch.empty(n, d_in))
        self.W_ht, self.U_ht = nn.Parameter(torch.empty(n, width)), nn.Parameter(torch.empty(n, width))
        self.v, self.u = nn.Parameter(torch.empty(n)), nn.Parameter(torch.empty(n))
        self.W, self.b = nn.Parameter(torch.empty(4 * width, width + d_in)), nn.Parameter(torch.empty(4 * width))
        self.W_r, self.b_r = nn.Parameter(torch.empty(width, width + d_in)), nn.Parameter(torch.empty(width))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all parameters uniformly from ±1/√d, the range of PyTorch's own LSTM."""
        bound = 1 / math.sqrt(self.W_r.shape[0])
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def step(
        self,
        x: Float[Tensor, "*batch d_in"],
        key: Float[Tensor, "*batch S d"],
        value: Float[Tensor, "*batch S d"],
        state: Float[Tensor, "*batch before 4 d"],
    ) -> tuple[
        Float[Tensor, "*batch d"],
        tuple[Float[Tensor, "*batch before"], Float[Tensor, "*batch S"]],
        Float[Tensor, "*batch after 4 d"],
    ]:
        """Advance by one place: return h_t (..., d), both weights and the state with one slot more.

        The state before the first step has no slots: shape (..., 0, 4, d).
        """
        check_arrays(Tensor, "x: * d_in, state: * t slots d", x=x, state=state)
        check_arrays(
            Tensor, PATTERN, x=x.unsqueeze(-2), key=key, value=value, **{name: getattr(self, name) for name in NAMES}
        )
        d = self.W_r.shape[0]
        if state.shape[:-3] != x.shape[:-1] or state.shape[-2:] != (4, d):
            raise ValueError(f"state: wanted shape (*{tuple(x.shape[:-1])}, t, 4, {d}), got {tuple(state.shape)}")
        return self._advance(x, key @ self.U_h.T, key, value, state)

    def _advance(
        self, x: Tensor, source_keys: Tensor, key: Tensor, value: Tensor, state: Tensor
    ) -> tuple[Tensor, tuple[Tensor, Tensor], Tensor]:
        hidden, memory, summary, source_summary = state.unbind(-2)
        query, source_query = x @ self.W_x.T, x @ self.U_x.T
        if state.shape[-3]:
            query = query + summary[..., -1, :] @ self.W_ht.T
            source_query = source_query + source_summary[..., -1, :] @ self.U_ht.T
        scores = torch.tanh(hidden @ self.W_h.T + query.unsqueeze(-2)) @ self.v
        source_scores = torch.tanh(source_keys + source_query.unsqueeze(-2)) @ self.u
        s, p = torch_ops.masked_softmax(scores, None), torch_ops.masked_softmax(source_scores, None)
        h_tilde, c_tilde = ((s.unsqueeze(-2) @ tape).squeeze(-2) for tape in (hidden, memory))
        g_tilde, a_tilde = ((p.unsqueeze(-2) @ tape).squeeze(-2) for tape in (key, value))
        i, f, o, candidate = F.linear(torch.cat([h_tilde, x], -1), self.W, self.b).chunk(4, -1)
        r = F.linear(torch.cat([g_tilde, x], -1), self.W_r, self.b_r)
        c = r.sigmoid() * a_tilde + f.sigmoid() * c_tilde + i.sigmoid() * candidate.tanh()
        h = o.sigmoid() * c.tanh()
        slot = torch.stack([h, c, h_tilde, g_tilde], -2).unsqueeze(-3)
        return h, (s, p), torch.cat([state, slot], -3)

    def forward(
        self,
        x: Float[Tensor, "*batch L d_in"],
        key: Float[Tensor, "*batch S d"],
        value: Float[Tensor, "*batch S d"],
    ) -> tuple[
        Float[Tensor, "*batch L d"],
        tuple[Float[Tensor, "*batch L L"], Float[Tensor, "*batch L S"]],
        Float[Tensor, "*batch L 4 d"],
    ]:
        """Return hidden states (..., L, d), weights (..., L, L) and (..., L, S), and the state (..., L, 4, d)."""
        check_arrays(Tensor, PATTERN, x=x, key=key, value=value, **{name: getattr(self, name) for name in NAMES})
        *batch, length, _ = x.shape
        state = x.new_zeros(*batch, 0, 4, self.W_r.shape[0])
        source_keys = key @ self.U_h.T
        own, source = [], []
        for t in range(length):
            _, (s, p), state = self._advance(x[..., t, :], source_keys, key, value, state)
            own.append(F.pad(s, (0, length - t)))
            source.append(p)
        if not length:
            return state[..., 0, :], (x.new_zeros(*batch, 0, 0), x.new_zeros(*batch, 0, key.shape[-2])), state
        return state[..., 0, :], (torch.stack(own, -2), torch.stack(source, -2)), state


def examples(rng: np.random.Generator, sizes: Sizes) -> dict[str, Example]:
    """Draw an example: d_in = d_k, states of width d, scores h wide."""
    n, d, d_in = sizes.h, sizes.d, sizes.d_k
    tapes = {name: rng.normal(size=(*sizes.batch, sizes.S, d)) for name in ("key", "value")}
    inputs = {"x": rng.normal(size=(*sizes.batch, sizes.L, d_in)), **tapes}
    score = ((n, d), (n, d_in), (n, d), (n,))
    shapes = (*score, *score, (4 * d, d + d_in), (4 * d,), (d, d + d_in), (d,))
    drawn = zip(NAMES, shapes, strict=True)
    parameters = {name: rng.normal(size=shape) / math.sqrt(shape[-1]) for name, shape in drawn}
    return {"plain": Example(inputs, parameters, {}, {"d_in": d_in, "width": d, "score_width": n})}


MECHANISM = Mechanism(
    title="LSTMN, deep fusion",
    citation="cheng2016long",
    equation=r"\begin{gathered} r_t = \sigma(W_r [\tilde\gamma_t; x_t]) \\ "
    r"c_t = r_t \odot \textstyle\sum_j p_j^t \alpha_j + f_t \odot \tilde c_t + i_t \odot \hat c_t \end{gathered}",
    cost=r"O((L + S) L d + (L + S) d^2)",
    kind="recurrent",
    reference=lstmn_deep_fusion,
    module=LSTMNDeepFusion,
    examples=examples,
    properties=claims(
        holds="rows_sum_to_one weights_not_negative invariant_to_key_order",
        fails="equivariant_to_query_order linear_in_values",
        does_not_apply={
            "causal_when_asked": "always causal in the target",
            "largest_on_diagonal": "one of its softmaxes is over another sequence",
        },
    ),
    refuses={"d_in": (0, 2.5), "width": (0, None), "score_width": (0, "wide")},
    chapter="notebooks/origins/06_self_reading",
)
