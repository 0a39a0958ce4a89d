"""The score dial: one query among fixed keys, and the weights that five scores give them."""

import html
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from attn_edu.core import scaled_dot_product
from attn_edu.scores import additive, cosine, dot, general

from ._checks import check_between, check_caption, check_matrix, check_tokens, check_vector
from ._figure import ChartFigure
from ._texts import distinct, pair

MOST = 6  # keys; more bars are too narrow on a phone
LIMIT = 3  # both axes end at plus and minus this
RANGES = {"beta": (0, 20), "turn": (-180, 180), "stretch": (0, 3)}
SCORES = ("dot", "scaled dot", "cosine", "general", "additive")
STEEP, HALF = 2.0, 1.0  # additive: how fast a bump falls along its direction, and half its width, times STEEP


class ScoreDial(ChartFigure):
    r"""The weights of a few keys in the plane under five scores, for a query that the reader moves.

    *dot* is q·k, *scaled dot* q·k/√2, *cosine* β times the cosine, *general* qᵀ W_a k, where W_a stretches the first
    feature of a key and then turns the key. *additive* is vᵀ tanh(W q + U k + b) with fixed matrices and six hidden
    units: along each of three directions e, 60° apart, it adds the bump
    :math:`\tanh(2\,e\cdot(q - k) + 1) - \tanh(2\,e\cdot(q - k) - 1)`, so that near keys score high and all far ones
    alike. For the bias b each key is given a third feature, 1.

    Parameters
    ----------
    key : (S, 2)
        The keys, a row each, at most 6, none of them (0, 0), with coordinates from -3 to 3.
    names : sequence of S str, optional
        What they are called; A, B, C, … if not given.
    query : (2,)
        Where the query points first, from -3 to 3.
    beta : float
        β, by which the cosine is multiplied, from 0 to 20.
    turn : float
        By how many degrees W_a turns a key, from -180 to 180.
    stretch : float
        By what W_a multiplies a key's first feature before, from 0 to 3.
    caption : str, optional
        A sentence under the figure: what is to be seen.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If shapes or lengths do not fit, a number is out of range, a name is blank, or a key is (0, 0).

    Examples
    --------
    Keys A = (1, 0) and B = (2, 0), and the query (ln 3, 0). Their dot products are ln 3 and 2 ln 3, so the weights
    1/4 and 3/4. Their angles are the same, so under the cosine both have 1/2. Turned by 180°, dot products change
    sign, and so do the weights their places:

    >>> dial = ScoreDial([[1, 0], [2, 0]], query=[np.log(3), 0], turn=180)
    >>> dial.weights[[0, 2, 3]]
    array([[0.25, 0.75],
           [0.5 , 0.5 ],
           [0.75, 0.25]])
    """

    name = "score_dial"
    readings = ("weights",)

    def __init__(
        self,
        key: Any,
        names: Sequence[str] | None = None,
        *,
        query: Any = (1.0, 0.5),
        beta: int | float = 4,
        turn: int | float = 0,
        stretch: int | float = 1,
        caption: str | None = None,
    ) -> None:
        key = check_matrix("key", key, "(S, 2)", {})
        if key.shape[1] != 2:
            raise ValueError(f"key: wanted shape (S, 2), got {key.shape}")
        if not 1 <= len(key) <= MOST:
            raise ValueError(f"key: wanted 1 to {MOST}, got {len(key)}")
        if not key.any(axis=1).all():
            raise ValueError(f"key: wanted a direction, got (0, 0) at {int(key.any(axis=1).argmin())}")
        names = [chr(65 + j) for j in range(len(key))] if names is None else check_tokens("names", names)
        if len(names) != len(key):
            raise ValueError(f"names: wanted {len(key)} as in key, got {len(names)}")
        query = check_vector("query", query)
        if query.shape != (2,):
            raise ValueError(f"query: wanted 2 numbers, got {len(query)}")
        for name, array in (("key", key), ("query", query)):
            if np.abs(array).max() > LIMIT:
                raise ValueError(f"{name}: wanted numbers from -{LIMIT} to {LIMIT}, got {array.tolist()}")
        numbers = {"beta": beta, "turn": turn, "stretch": stretch}
        for name, number in numbers.items():
            low, high = RANGES[name]
            check_between(name, number, low, high)
        check_caption(caption)
        self.state = {
            "key": key,
            "names": names,
            "query": query,
            **{name: float(number) for name, number in numbers.items()},
            "caption": caption,
        }

    @property
    def W_a(self) -> np.ndarray:
        """The matrix of the general score, (2, 2)."""
        angle = math.radians(self.state["turn"])
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        return turn * [self.state["stretch"], 1.0]

    @property
    def weights(self) -> np.ndarray:
        """What each score gives to each key, (5, S), in the order of the figure's rows."""
        query, key = self.state["query"][None], self.state["key"]
        biased = np.concatenate([key, np.ones((len(key), 1))], axis=1)
        found = (
            dot(query, key, key),
            scaled_dot_product(query, key, key),
            cosine(query, key, key, np.array([self.state["beta"]])),
            general(query, key, key, W_a=self.W_a),
            additive(query, biased, key, **bumps()),
        )
        return np.concatenate([weights for _, weights in found])

    def summary(self) -> str:
        """Say in plain text what is to be seen."""
        state, names = self.state, distinct(self.state["names"])
        most = [f"{score} {most_of(row, names)}" for score, row in zip(SCORES, self.weights, strict=True)]
        return (
            f"{len(names)} keys in the plane and a query at {pair(state['query'])}. β is {state['beta']:g}; W_a "
            f"multiplies a key's first feature by {state['stretch']:g} and turns it by {state['turn']:g} degrees. "
            f"Most weight: {', '.join(most)}."
        )

    def table(self) -> str:
        """Write the weights as an HTML table."""
        names = [html.escape(name) for name in distinct(self.state["names"])]
        head = "".join(f'<th scope="col" dir="auto">{name}</th>' for name in names)
        body = "\n".join(
            f'<tr><th scope="row">{score}</th>' + "".join(f"<td>{w:.2f}</td>" for w in row) + "</tr>"
            for score, row in zip(SCORES, self.weights, strict=True)
        )
        caption = html.escape(self.state["caption"] or "The weight of each key under each score.")
        return f"""\
<div class="attn-scroll" tabindex="0" role="region" aria-label="Weights">
<table>
<caption>{caption}</caption>
<thead><tr><th scope="col">score</th>{head}</tr></thead>
<tbody>
{body}
</tbody>
</table>
</div>"""


def bumps() -> dict[str, np.ndarray]:
    """Return the matrices of the additive score, whose keys end with a 1.

    Examples
    --------
    A bump is two hidden units with opposite signs; along the first direction they compare the first features:

    >>> {name: matrix[:2].round(1).tolist() for name, matrix in bumps().items()}
    {'W_a': [[2.0, 0.0], [2.0, 0.0]], 'U_a': [[-2.0, -0.0, 1.0], [-2.0, -0.0, -1.0]], 'v_a': [1.0, -1.0]}
    """
    angles = np.radians([0, 0, 60, 60, 120, 120])
    along = STEEP * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    signs = np.tile([1.0, -1.0], 3)
    return {"W_a": along, "U_a": np.concatenate([-along, HALF * signs[:, None]], axis=1), "v_a": signs}


def most_of(row: np.ndarray, names: list[str]) -> str:
    """Name the keys with the largest weight, up to rounding, and the weight.

    Examples
    --------
    >>> most_of(np.array([0.5, 0.5]), ["A", "B"]), most_of(np.array([0.75, 0.25]), ["A", "B"])
    ('A, B 0.50', 'A 0.75')
    """
    first = [name for name, weight in zip(names, row, strict=True) if weight > row.max() - 5e-4]
    return f"{', '.join(first)} {row.max():.2f}"
