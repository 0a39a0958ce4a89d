"""Movies and users: scores from dot products, weights from scores, and an ideal movie from the weights."""

import html
from collections.abc import Sequence
from typing import Any

import numpy as np

from attn_edu.np_ops import masked_softmax

from ._checks import check_caption, check_integer, check_matrix, check_tokens
from ._figure import Figure
from ._texts import count, distinct, number

LARGEST = 8  # users, films or features; more do not fit a phone


class MoviesAndUsers(Figure):
    """Users and films with the same features, the scores between them, and the mixture of films for one user.

    A score is the dot product of a user's preferences and a film's contents. The softmax of a user's scores gives the
    weights, and the weighted sum of the films is the user's ideal film. The reader picks a user and a film from the
    table of scores and slides the user's preferences.

    Parameters
    ----------
    users : sequence of L str
        Names of the users, the rows of the scores.
    films : sequence of S str
        Names of the films, the columns of the scores.
    features : sequence of d str
        Names of what is liked in a film or contained in it.
    preferences : (L, d)
        How much each user likes each feature, from -1 to 1.
    contents : (S, d)
        How much of each feature is in each film, from -1 to 1.
    user : int
        The user shown first, from 0.
    film : int
        The film shown first, from 0.
    caption : str, optional
        A sentence under the figure: what is to be seen.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If shapes or lengths do not fit, a number is not finite or out of range, a name is blank, or there are more
        than 8 users, films or features.

    Examples
    --------
    One user, two films. The scores are 0·1 + 1·0 = 0 and 0·0 + 1·1 = 1, the exponentials 1 and 2.718, their sum 3.718:

    >>> figure = MoviesAndUsers(["Ada"], ["Bang", "Sigh"], ["action", "romance"], [[0, 1]], [[1, 0], [0, 1]])
    >>> figure.scores
    array([[0., 1.]])
    >>> figure.weights.round(3)
    array([[0.269, 0.731]])
    >>> figure.ideal.round(3)
    array([[0.269, 0.731]])
    """

    name = "movies_and_users"
    readings = ("scores", "weights", "ideal")

    def __init__(
        self,
        users: Sequence[str],
        films: Sequence[str],
        features: Sequence[str],
        preferences: Any,
        contents: Any,
        *,
        user: int = 0,
        film: int = 0,
        caption: str | None = None,
    ) -> None:
        names = {
            name: check_tokens(name, value)
            for name, value in (("users", users), ("films", films), ("features", features))
        }
        for name, value in names.items():
            if len(value) > LARGEST:
                raise ValueError(f"{name}: wanted at most {LARGEST}, got {len(value)}")
        d = {"d": (len(names["features"]), "features")}
        preferences = check_matrix("preferences", preferences, "(L, d)", {"L": (len(names["users"]), "users")} | d)
        contents = check_matrix("contents", contents, "(S, d)", {"S": (len(names["films"]), "films")} | d)
        for name, matrix in (("preferences", preferences), ("contents", contents)):
            if np.abs(matrix).max() > 1:
                i, f = np.argwhere(np.abs(matrix) > 1)[0]
                raise ValueError(f"{name}: wanted numbers from -1 to 1, got {matrix[i, f]:g} at [{i}, {f}]")
        for name, index, rows in (("user", user, "users"), ("film", film, "films")):
            check_integer(name, index)
            if not 0 <= index < len(names[rows]):
                raise ValueError(f"{name}: wanted 0 to {len(names[rows]) - 1}, one of {rows}, got {index}")
        check_caption(caption)
        self.state = {
            **names,
            "preferences": preferences,
            "contents": contents,
            "user": int(user),
            "film": int(film),
            "caption": caption,
        }

    @property
    def scores(self) -> np.ndarray:
        """Dot products of preferences and contents, (L, S)."""
        return np.einsum("if,jf->ij", self.state["preferences"], self.state["contents"])

    @property
    def weights(self) -> np.ndarray:
        """Softmax of each user's scores, (L, S)."""
        scores = self.scores
        return masked_softmax(scores, np.ones_like(scores, dtype=bool))

    @property
    def ideal(self) -> np.ndarray:
        """Weighted sum of the films for each user, (L, d)."""
        return self.weights @ self.state["contents"]

    def _labels(self) -> tuple[list[str], list[str]]:
        return distinct(self.state["users"]), distinct(self.state["films"])

    def summary(self) -> str:
        """Say in plain text what is to be seen."""
        users, films = self._labels()
        i = self.state["user"]
        order = np.argsort(-self.weights[i], kind="stable")[:3]
        first = ", ".join(f"{films[j]} {self.weights[i, j]:.2f}" for j in order)
        mixed = ", ".join(f"{name} {number(x)}" for name, x in zip(self.state["features"], self.ideal[i], strict=True))
        return (
            f"{count(len(users), 'user', 'users')}, {count(len(films), 'film', 'films')} and the scores between them. "
            f"“{users[i]}” gives most weight to {first}. Ideal film: {mixed}."
        )

    def table(self) -> str:
        """Write scores and weights as an HTML table."""
        users, films = self._labels()
        head = "".join(f'<th scope="col" dir="auto">{html.escape(film)}</th>' for film in films)
        head += "".join(f'<th scope="col" dir="auto">ideal {html.escape(name)}</th>' for name in self.state["features"])
        body = "\n".join(
            f'<tr><th scope="row" dir="auto">{html.escape(user)}</th>'
            + "".join(f"<td>{number(s)} → {w:.2f}</td>" for s, w in zip(scores, weights, strict=True))
            + "".join(f"<td>{number(x)}</td>" for x in ideal)
            + "</tr>"
            for user, scores, weights, ideal in zip(users, self.scores, self.weights, self.ideal, strict=True)
        )
        caption = html.escape(self.state["caption"] or "For each user and film: score → weight; then the ideal film.")
        return f"""\
<div class="attn-scroll" tabindex="0" role="region" aria-label="Scores and weights">
<table>
<caption>{caption}</caption>
<thead><tr><td></td>{head}</tr></thead>
<tbody>
{body}
</tbody>
</table>
</div>"""
