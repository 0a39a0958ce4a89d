"""One set of words in two orders: the sentence morphs into its other reading, and an output stays or changes."""

import html
from collections.abc import Sequence
from typing import Any

import numpy as np

from attn_edu.checks import check_divides, check_flag
from attn_edu.core import multi_head

from ._checks import check_caption, check_integer, check_matrix, check_tokens
from ._figure import Figure
from ._texts import distinct, number

LONGEST = 8  # words; more do not fit on a phone
WIDEST = 8  # heads, and numbers in an output


class SentenceMorph(Figure):
    """Two orders of the same words, and what multi-head self-attention makes of one of them in both.

    The reader swaps the orders and sees the words travel, chooses the number of heads and the word whose output is
    shown, and adds a position vector to each place. The same matrices are cut into one, two or more heads.

    Parameters
    ----------
    tokens : sequence of L str
        The words, in the order of the first reading.
    x : (L, d)
        A vector for each word, in the same order.
    order : sequence of L int
        The second reading: which word stands at its first place, at its second, and so on, from 0.
    W_Q, W_K : (d, h·d_k)
        Projections to queries and keys, the heads side by side.
    W_V : (d, h·d_v)
        Projection to values.
    W_O : (h·d_v, d_out)
        Output projection.
    heads : int
        h at first.
    positions : (L, d), optional
        What is added to the word at each place when the reader asks for positions.
    selected : int
        The word whose output is shown first, from 0.
    swapped : bool
        If True, begin with the second reading.
    placed : bool
        If True, begin with positions added.
    caption : str, optional
        A sentence under the figure: what is to be seen.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If shapes or lengths do not fit, `order` does not name every word once, `heads` does not divide a width, a
        number is not finite or out of range, or there are more than 8 words, heads or numbers in an output.

    Examples
    --------
    Scores are 0, so each weight is 1/2 and the output the mean, (4 + 8)/2 = 6, in both orders:

    >>> zero, one = np.zeros((1, 1)), np.ones((1, 1))
    >>> morph = SentenceMorph(["a", "b"], [[4.0], [8]], [1, 0], W_Q=zero, W_K=zero, W_V=one, W_O=one)
    >>> morph.outputs
    array([[6.],
           [6.]])
    """

    name = "sentence_morph"
    readings = ("outputs", "weights")

    def __init__(
        self,
        tokens: Sequence[str],
        x: Any,
        order: Sequence[int],
        *,
        W_Q: Any,
        W_K: Any,
        W_V: Any,
        W_O: Any,
        heads: int = 1,
        positions: Any = None,
        selected: int = 0,
        swapped: bool = False,
        placed: bool = False,
        caption: str | None = None,
    ) -> None:
        tokens = check_tokens("tokens", tokens)
        L = len(tokens)
        if not 2 <= L <= LONGEST:
            raise ValueError(f"tokens: wanted 2 to {LONGEST} words, got {L}")
        x = check_matrix("x", x, "(L, d)", {"L": (L, "tokens")})
        order = _check_order(order, L)
        width = {"d": (x.shape[1], "x")}
        W_Q = check_matrix("W_Q", W_Q, "(d, h·d_k)", width)
        W_K = check_matrix("W_K", W_K, "(d, h·d_k)", width | {"h·d_k": (W_Q.shape[1], "W_Q")})
        W_V = check_matrix("W_V", W_V, "(d, h·d_v)", width)
        W_O = check_matrix("W_O", W_O, "(h·d_v, d_out)", {"h·d_v": (W_V.shape[1], "W_V")})
        check_divides("heads", heads, W_Q=W_Q.shape[1], W_V=W_V.shape[1])
        for name, size in (("heads", heads), ("W_O: columns", W_O.shape[1])):
            if size > WIDEST:
                raise ValueError(f"{name}: wanted at most {WIDEST}, got {size}")
        if positions is not None:
            positions = check_matrix("positions", positions, "(L, d)", width | {"L": (L, "tokens")})
        check_integer("selected", selected)
        if not 0 <= selected < L:
            raise ValueError(f"selected: wanted 0 to {L - 1}, a word, got {selected}")
        check_flag("swapped", swapped)
        check_flag("placed", placed)
        if placed and positions is None:
            raise ValueError("placed: wanted False where there are no positions, got True")
        check_caption(caption)
        self.state = {
            "tokens": tokens,
            "x": x,
            "order": order,
            "W_Q": W_Q,
            "W_K": W_K,
            "W_V": W_V,
            "W_O": W_O,
            "heads": heads,
            "positions": positions,
            "selected": int(selected),
            "swapped": swapped,
            "placed": placed,
            "caption": caption,
        }
        with np.errstate(over="ignore", invalid="ignore"):
            finite = np.isfinite(self.outputs).all()
        if not finite:
            raise ValueError("x, W_Q, W_K, W_V, W_O, positions: wanted finite outputs, got an overflow")

    def _attend(self) -> tuple[np.ndarray, np.ndarray]:
        state = self.state
        matrices = {name: state[name] for name in ("W_Q", "W_K", "W_V", "W_O")}
        outputs, weights = [], []
        for order in (np.arange(len(state["tokens"])), np.array(state["order"])):
            words = state["x"][order] + (state["positions"] if state["placed"] else 0.0)
            output, weight = multi_head(words, words, words, **matrices, heads=state["heads"])
            place = np.argsort(order)  # where each word stands
            outputs.append(output[place[state["selected"]]])
            weights.append(weight[:, place[state["selected"]]][:, place])
        return np.array(outputs), np.array(weights)

    @property
    def outputs(self) -> np.ndarray:
        """The selected word's output in each reading, (2, d_out)."""
        return self._attend()[0]

    @property
    def weights(self) -> np.ndarray:
        """Its weights in each reading, by head and word, (2, h, L); the words in the order of `tokens`."""
        return self._attend()[1]

    def _sentences(self) -> list[str]:
        tokens = self.state["tokens"]
        return [" ".join(tokens), " ".join(tokens[word] for word in self.state["order"])]

    def summary(self) -> str:
        """Say in plain text what is to be seen."""
        state, outputs = self.state, self.outputs
        first, second = self._sentences()
        heads = f"{state['heads']} head" + ("" if state["heads"] == 1 else "s")
        positions = "with positions added" if state["placed"] else "without positions"
        gap = float(np.abs(outputs[0] - outputs[1]).max())
        same = gap <= 1e-9 * max(1.0, float(np.abs(outputs).max()))
        found = "is the same in both" if same else f"differs by up to {gap:.4f}"
        word = distinct(state["tokens"])[state["selected"]]
        return f"Two readings, “{first}” and “{second}”. With {heads}, {positions}, the output of “{word}” {found}."

    def table(self) -> str:
        """Write the output in both readings as an HTML table."""
        body = "\n".join(
            f'<tr><th scope="row" dir="auto">{html.escape(sentence)}</th>'
            + "".join(f"<td>{number(x, 4)}</td>" for x in output)
            + "</tr>"
            for sentence, output in zip(self._sentences(), self.outputs, strict=True)
        )
        word = html.escape(distinct(self.state["tokens"])[self.state["selected"]])
        caption = html.escape(self.state["caption"] or "")
        head = "".join(f'<th scope="col">{n}</th>' for n in range(1, self.outputs.shape[1] + 1))
        return f"""\
<div class="attn-scroll" tabindex="0" role="region" aria-label="Output in both readings">
<table>
<caption>Output of “{word}”. {caption}</caption>
<thead><tr><td></td>{head}</tr></thead>
<tbody>
{body}
</tbody>
</table>
</div>"""


def _check_order(order: Any, L: int) -> list[int]:
    """Check that an order names every place once and return it as a list.

    Examples
    --------
    >>> _check_order([2, 0, 0], 3)
    Traceback (most recent call last):
    ValueError: order: wanted each of 0 to 2 once, got [2, 0, 0]
    """
    if isinstance(order, str | bytes) or not isinstance(order, Sequence | np.ndarray):
        raise TypeError(f"order: wanted a sequence of {L} integers, got {type(order).__name__}")
    for place in order:
        if isinstance(place, bool) or not isinstance(place, int | np.integer):
            raise TypeError(f"order: wanted a sequence of {L} integers, got {type(place).__name__} in it")
    places = [int(place) for place in order]
    if sorted(places) != list(range(L)):
        raise ValueError(f"order: wanted each of 0 to {L - 1} once, got {places}")
    return places
