"""The theta dial: what mixing the heads' maps, and a norm after it, do to maps, row sums and similarity."""

import html
from collections.abc import Sequence
from typing import Any

import numpy as np

from attn_edu.checks import check_choice

from ._checks import check_array, check_between, check_caption, check_sums, check_tokens
from ._figure import Figure
from ._texts import number

MOST = 4  # heads; more maps do not fit a phone side by side
WIDEST = 20  # tokens
NORMS = ("none", "layer", "batch")
EPS = 1e-5  # added to the variance, as in `re_attention`
SHORT = 1e-9  # a column shorter than this has no direction


class ThetaDial(Figure):
    r"""The attention maps of two layers, mixed across heads and normalised as the reader turns Θ from the identity on.

    In layer l the new map of head g is :math:`\sum_n \Theta_{ng} A_n` with :math:`(1 - t) I + t\,\Theta_l` for Θ, then
    normalised: over the heads of each entry ("layer"), or over all entries of a head ("batch"), with gain 1 and bias 0.
    The similarity of the two layers is the cosine of their maps' columns, averaged over heads and columns; the centred
    one subtracts each map's mean first. A column of zeros counts as similarity 0.

    Parameters
    ----------
    maps : (2, h, T, T)
        Attention weights of two layers with h heads. Each row sums to 1, up to 0.02 for weights that were rounded.
    Theta : (2, h, h)
        Each layer's Θ at the end of the slider.
    mixing : float
        t, from 0 to 1.
    norm : {"none", "layer", "batch"}
        The norm shown first.
    layers : sequence of 2 str
        What the layers are called.
    caption : str, optional
        A sentence under the figure: what is to be seen.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If shapes do not fit, a number is not finite or out of range, rows do not sum to 1, or `norm` is none of these.

    Examples
    --------
    One head that looks at the first of two tokens in layer 1 and at the second in layer 2. The columns (1, 1), (0, 0)
    and (0, 0), (1, 1) have no direction in common, and half of them none at all. Turned to its negative, Θ = −1, the
    second layer's rows sum to −1:

    >>> dial = ThetaDial([[[[1, 0], [1, 0]]], [[[0, 1], [0, 1]]]], [[[1]], [[-1]]], mixing=1.0)
    >>> dial.similarity, dial.row_sums.tolist()
    (0.0, [[[1.0, 1.0]], [[-1.0, -1.0]]])

    Centred they are (½, ½), (−½, −½) and the same again, since −1 has turned the second layer's:

    >>> round(dial.centred, 9)
    1.0
    """

    name = "theta_dial"
    readings = ("new_maps", "row_sums", "similarity", "centred")

    def __init__(
        self,
        maps: Any,
        Theta: Any,
        *,
        mixing: float = 0.0,
        norm: str = "none",
        layers: Sequence[str] = ("layer 1", "layer 2"),
        caption: str | None = None,
    ) -> None:
        maps = check_array("maps", maps, 4, "(2, h, T, T)")
        count, heads, rows, columns = maps.shape
        if count != 2 or rows != columns:
            raise ValueError(f"maps: wanted shape (2, h, T, T), got {maps.shape}")
        if heads > MOST or rows > WIDEST:
            raise ValueError(f"maps: wanted at most {MOST} heads and {WIDEST} tokens, got {heads} and {rows}")
        check_sums("maps", maps)
        Theta = check_array("Theta", Theta, 3, "(2, h, h)")
        if Theta.shape != (2, heads, heads):
            raise ValueError(f"Theta: wanted shape (2, h, h) with h = {heads} as in maps, got {Theta.shape}")
        check_between("mixing", mixing, 0, 1)
        check_choice("norm", norm, NORMS)
        layers = check_tokens("layers", layers)
        if len(layers) != 2:
            raise ValueError(f"layers: wanted 2 names as in maps, got {len(layers)}")
        check_caption(caption)
        self.state = {
            "maps": maps,
            "Theta": Theta,
            "mixing": float(mixing),
            "norm": norm,
            "layers": layers,
            "caption": caption,
        }

    @property
    def new_maps(self) -> np.ndarray:
        """The maps after mixing and norm, (2, h, T, T)."""
        state, t = self.state, self.state["mixing"]
        Theta = (1 - t) * np.eye(state["Theta"].shape[-1]) + t * state["Theta"]
        maps = np.einsum("lng,lnij->lgij", Theta, state["maps"])
        if state["norm"] == "none":
            return maps
        axes = (1,) if state["norm"] == "layer" else (2, 3)
        return (maps - maps.mean(axes, keepdims=True)) / np.sqrt(maps.var(axes, keepdims=True) + EPS)

    @property
    def row_sums(self) -> np.ndarray:
        """The sum of every row of the new maps, (2, h, T)."""
        return self.new_maps.sum(-1)

    @property
    def similarity(self) -> float:
        """Mean cosine of the two layers' columns."""
        return _similarity(self.new_maps)

    @property
    def centred(self) -> float:
        """The same, after each map's mean is subtracted."""
        maps = self.new_maps
        return _similarity(maps - maps.mean((-2, -1), keepdims=True))

    def summary(self) -> str:
        """Say in plain text what is to be seen."""
        state, maps = self.state, self.new_maps
        names = {"none": "without a norm", "layer": "then a layer norm", "batch": "then a batch norm"}
        return (
            f"Attention maps of {state['layers'][0]} and {state['layers'][1]}, {maps.shape[1]} heads each, "
            f"Θ {100 * state['mixing']:.0f}% of the way, {names[state['norm']]}. "
            f"Similarity {number(self.similarity)}, centred {number(self.centred)}. "
            f"Rows sum to {_span(self.row_sums)}; {100 * (maps < 0).mean():.0f}% of the entries are negative."
        )

    def table(self) -> str:
        """Write what each new map holds as an HTML table."""
        pairs = zip(self.state["layers"], self.new_maps, strict=True)
        body = "\n".join(
            f'<tr><th scope="row" dir="auto">{html.escape(name)}, head {n}</th><td>{_span(A)}</td>'
            f"<td>{_span(A.sum(-1))}</td><td>{100 * (A < 0).mean():.0f}%</td></tr>"
            for name, heads in pairs
            for n, A in enumerate(heads, 1)
        )
        caption = html.escape(self.state["caption"] or "What each new map holds.")
        head = "".join(f'<th scope="col">{name}</th>' for name in ("map", "entries", "rows sum to", "below 0"))
        return f"""\
<div class="attn-scroll" tabindex="0" role="region" aria-label="New maps">
<table>
<caption>{caption}</caption>
<thead><tr>{head}</tr></thead>
<tbody>
{body}
</tbody>
</table>
</div>"""


def _similarity(maps: np.ndarray) -> float:
    """Return the mean cosine of two layers' columns, (2, h, T, T); columns of zeros count as 0.

    Examples
    --------
    >>> _similarity(np.array([[[[3.0, 1.0], [4.0, 0.0]]], [[[4.0, 0.0], [3.0, 0.0]]]]))
    0.48
    """
    products = (maps[0] * maps[1]).sum(-2)
    long = np.sqrt(np.square(maps).sum(-2))
    known = (long > SHORT).all(0)
    return float(np.where(known, products / np.where(known, long.prod(0), 1), 0).mean())


def _span(values: np.ndarray) -> str:
    """Write the least and the largest of some numbers, or one of them if they read the same.

    Examples
    --------
    >>> _span(np.array([1.0, -0.5, 0.25])), _span(np.array([1.0, 1.0001]))
    ('−0.50 to 1.00', '1.00')
    """
    least, most = number(values.min()), number(values.max())
    return least if least == most else f"{least} to {most}"
