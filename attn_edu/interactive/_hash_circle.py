"""The hash on a circle: directions that turn, points that fall into buckets, are sorted and cut into chunks."""

import html
from typing import Any, ClassVar

import numpy as np

from attn_edu.checks import check_flag
from attn_edu.sparse import angular_hash, lsh_meetings

from ._checks import check_caption, check_count, check_vector
from ._figure import Figure

MOST = 12  # points; more tiles are too narrow on a phone
SECTORS = 8  # buckets at most


class HashFigure(Figure):
    """A figure whose script uses ``chart.js`` and ``hash_kit.js`` as well as ``kit.js``."""

    scripts: ClassVar[tuple[str, ...]] = ("kit.js", "chart.js", "hash_kit.js")


class HashCircle(HashFigure):
    """Points on a circle, hashed by a rotation that the reader turns, then sorted by bucket and cut into chunks.

    Column c of the rotation R points to the angle turn + 360°·c / `buckets`, for c below half of `buckets`; the other
    half of the directions are their opposites. A point falls to the nearest direction, which is what
    ``argmax([xR; −xR])`` finds.

    Parameters
    ----------
    angles : (L,)
        Where the points stand, in degrees, in the order of the sequence; at most 12.
    buckets : int
        b, even, 2 to 8.
    chunk : int
        How many sorted points make a chunk, 2 to L.
    turn : int
        By how many degrees the rotation is turned first, 0 to 359.
    query : int
        The point that asks first, counted from 0.
    causal : bool
        If True, a point meets only points before it.
    caption : str, optional
        A sentence under the figure: what is to be seen.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If a number is out of range, or `buckets` is odd.

    Examples
    --------
    Directions at 0°, 90°, 180° and 270°. The points at 10° and 350° fall to the first, and meet each other:

    >>> figure = HashCircle([10, 100, 350], chunk=2)
    >>> figure.hashed, figure.order
    (array([0, 1, 0]), array([0, 2, 1]))
    >>> figure.met.astype(int)
    array([[1, 0, 0],
           [0, 1, 0],
           [1, 0, 0]])
    """

    name = "hash_circle"
    readings = ("hashed", "order", "met")

    def __init__(
        self,
        angles: Any,
        *,
        buckets: int = 4,
        chunk: int = 4,
        turn: int = 0,
        query: int = 0,
        causal: bool = True,
        caption: str | None = None,
    ) -> None:
        angles = check_vector("angles", angles)
        if not 2 <= len(angles) <= MOST:
            raise ValueError(f"angles: wanted 2 to {MOST}, got {len(angles)}")
        buckets = check_count("buckets", buckets, 2, SECTORS)
        if buckets % 2:
            raise ValueError(f"buckets: wanted an even number, got {buckets}")
        chunk = check_count("chunk", chunk, 2, len(angles))
        turn = check_count("turn", turn, 0, 359)
        query = check_count("query", query, 0, len(angles) - 1)
        check_flag("causal", causal)
        check_caption(caption)
        self.state = {
            "angles": angles,
            "buckets": buckets,
            "chunk": chunk,
            "turn": turn,
            "query": query,
            "causal": causal,
            "caption": caption,
        }

    @property
    def vectors(self) -> np.ndarray:
        """The points, (L, 2)."""
        angles = np.radians(self.state["angles"])
        return np.stack([np.cos(angles), np.sin(angles)], axis=-1)

    @property
    def rotation(self) -> np.ndarray:
        """R: its columns are half of the directions, (2, b/2)."""
        buckets = self.state["buckets"]
        angles = np.radians(self.state["turn"] + 360 / buckets * np.arange(buckets // 2))
        return np.stack([np.cos(angles), np.sin(angles)])

    @property
    def hashed(self) -> np.ndarray:
        """The bucket of each point, (L,)."""
        return angular_hash(self.vectors, self.rotation[None])[0]

    @property
    def order(self) -> np.ndarray:
        """The points in order of bucket and, within a bucket, of the sequence, (L,)."""
        return np.argsort(self.hashed, kind="stable")

    @property
    def met(self) -> np.ndarray:
        """Which points (columns) each point (rows) may attend to, (L, L); itself where it meets no other."""
        return or_itself(lsh_meetings(self.hashed[None], chunk=self.state["chunk"], causal=self.state["causal"])) > 0

    def summary(self) -> str:
        """Say in plain text what is to be seen."""
        state, met, hashed = self.state, self.met, self.hashed
        query, count = state["query"], len(state["angles"])
        keys = ", ".join(str(j + 1) for j in np.flatnonzero(met[query]))
        pairs = met.sum() - np.trace(met)
        full = count * (count - 1) // (2 if state["causal"] else 1)
        return (
            f"{count} points on a circle in {state['buckets']} buckets, turned by {state['turn']} degrees, sorted and "
            f"cut into chunks of {state['chunk']}. Point {query + 1} is in bucket {letter(hashed[query])} and may "
            f"attend to {'itself' if keys == str(query + 1) else keys}. All points together meet {pairs} others, of "
            f"{full}."
        )

    def table(self) -> str:
        """Write bucket, chunk and keys of each point as an HTML table."""
        state, met, hashed, order = self.state, self.met, self.hashed, self.order
        body = "\n".join(
            f'<tr><th scope="row">{i + 1}</th><td>{letter(hashed[i])}</td>'
            f"<td>{list(order).index(i) // state['chunk'] + 1}</td>"
            f"<td>{', '.join(str(j + 1) for j in np.flatnonzero(met[i]))}</td></tr>"
            for i in range(len(hashed))
        )
        caption = html.escape(state["caption"] or "Where each point falls, and which it may attend to.")
        return f"""\
<div class="attn-scroll" tabindex="0" role="region" aria-label="Buckets and chunks">
<table>
<caption>{caption}</caption>
<thead><tr><th scope="col">point</th><th scope="col">bucket</th><th scope="col">chunk</th>\
<th scope="col">may attend to</th></tr></thead>
<tbody>
{body}
</tbody>
</table>
</div>"""


def or_itself(meetings: np.ndarray) -> np.ndarray:
    """Let those who meet nobody meet themselves.

    Examples
    --------
    >>> or_itself(np.array([[0, 0], [2, 0]]))
    array([[1, 0],
           [2, 0]])
    """
    return meetings + np.diag(~meetings.any(axis=-1)).astype(int)


def letter(bucket: int | np.integer) -> str:
    """Name a bucket.

    Examples
    --------
    >>> letter(0), letter(3)
    ('A', 'D')
    """
    return chr(ord("A") + int(bucket))
