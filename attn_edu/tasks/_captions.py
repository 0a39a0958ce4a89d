"""Small pictures of two shapes, each with a sentence that says what is where: made on the spot."""

import numpy as np
from jaxtyping import Float, Int

from attn_edu.checks import check_flag, check_number, check_rng, check_width

from ._language import END, PAD, START

CELL = 5  # pixels a side
LENGTH = 8  # of the longest caption with its start and end
COLOURS = {
    "red": (0.86, 0.15, 0.15),
    "green": (0.1, 0.6, 0.25),
    "blue": (0.15, 0.35, 0.9),
    "yellow": (0.93, 0.75, 0.1),
}
SHAPES = {
    "square": "..... .###. .###. .###. .....",
    "cross": "..#.. ..#.. ##### ..#.. ..#..",
    "ring": ".###. #...# #...# #...# .###.",
    "triangle": "..... ..#.. .###. ##### .....",
}
CAPTION_WORDS = ("<pad>", "<start>", "<end>", *COLOURS, *SHAPES, "left", "of", "above")


def captions(
    rng: np.random.Generator,
    count: int,
    side: int = 4,
    noise: float = 0.1,
    held_out: bool = False,
) -> tuple[Float[np.ndarray, "N H W 3"], Int[np.ndarray, "N 8"], Int[np.ndarray, "N 8"]]:
    """Draw pictures of two coloured shapes on a grid, and say of each picture what stands above or left of what.

    Two of the grid's cells hold a shape each. The caption names first the one that comes first in reading order (upper
    row first, in a row from the left): *red cross above blue ring* if their rows differ, else *red cross left of blue
    ring*. So each picture has one right caption.

    A fixed rule holds one scene in about eleven out: a sum over its cells, colours and shapes is divisible by eleven.
    No scene for training is among those held out, whatever the generators.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where the draws come from.
    count : int
        N, how many pictures.
    side : int
        Rows and columns of the grid, at least 2. A cell has 5 × 5 pixels.
    noise : float
        Standard deviation of what is added to every number of every pixel; the sum is cut to 0 … 1.
    held_out : bool
        If True, draw scenes that are held out; if False, others.

    Returns
    -------
    images : (N, 5 side, 5 side, 3)
        Red, green and blue, from 0 to 1, on white.
    captions : (N, 8)
        Each row START, the words, END and then PAD, as places in CAPTION_WORDS.
    places : (N, 8)
        For each word the cell that it is about, row by row from 0 on: of a colour or a shape, that of its object; −1
        for every other word, for START, END and PAD.

    Raises
    ------
    TypeError
        If `rng` is not a generator, `count` or `side` not an integer, `noise` no number or `held_out` no bool.
    ValueError
        If `count` is below 1, `side` below 2 or `noise` negative or not finite.

    Examples
    --------
    >>> from attn_edu.tasks import words
    >>> images, texts, places = captions(np.random.default_rng(5), 2, noise=0.0)
    >>> images.shape, [words(text, CAPTION_WORDS) for text in texts]
    ((2, 20, 20, 3), ['green triangle above blue square', 'blue cross left of green cross'])

    In the first, the triangle stands in cell 0 and the square in cell 10, third row and third column:

    >>> places[0]
    array([-1,  0,  0, -1, 10, 10, -1, -1])
    >>> images[0, 2, 2], images[0, 0, 0]  # the middle of cell 0, and its corner
    (array([0.1 , 0.6 , 0.25]), array([1., 1., 1.]))
    """
    check_rng(rng)
    check_width("count", count)
    check_width("side", side, least=2)
    check_flag("held_out", held_out)
    check_number("noise", noise)
    if not 0 <= noise < float("inf"):
        raise ValueError(f"noise: wanted a finite number of at least 0, got {noise}")
    kinds = len(COLOURS), len(SHAPES)
    kept: list[np.ndarray] = []  # rows of cell, cell, colour, colour, shape, shape
    while sum(map(len, kept)) < count:
        first, other = rng.integers(side**2, size=count), rng.integers(side**2 - 1, size=count)
        cells = np.sort(np.stack([first, other + (other >= first)], 1), 1)
        scenes = np.concatenate([cells, *(rng.integers(kind, size=(count, 2)) for kind in kinds)], 1)
        kept.append(scenes[((scenes * (1, 2, 3, 4, 5, 6)).sum(1) % 11 == 0) == held_out])
    scenes = np.concatenate(kept)[:count]

    colours = np.array(list(COLOURS.values()))
    masks = np.array([[[pixel == "#" for pixel in row] for row in shape.split()] for shape in SHAPES.values()])
    cells_of = np.ones((count, side, CELL, side, CELL, 3))
    number = np.arange(count)
    for cell, colour, shape in (scenes[:, 0::2].T, scenes[:, 1::2].T):
        drawn = np.where(masks[shape][..., None], colours[colour][:, None, None], 1.0)
        cells_of[number, cell // side, :, cell % side] = drawn
    images = cells_of.reshape(count, side * CELL, side * CELL, 3)
    if noise:
        images = np.clip(images + noise * rng.normal(size=images.shape), 0, 1)

    texts, places = np.full((count, LENGTH), PAD), np.full((count, LENGTH), -1)
    word = {name: place for place, name in enumerate(CAPTION_WORDS)}
    colour_words, shape_words = (np.array([word[name] for name in names]) for names in (COLOURS, SHAPES))
    cells, coloured, shaped = scenes[:, :2], colour_words[scenes[:, 2:4]], shape_words[scenes[:, 4:]]
    for beside in (False, True):
        rows = (cells[:, 0] // side == cells[:, 1] // side) == beside
        relation = [word["left"], word["of"]] if beside else [word["above"]]
        start, second, end = np.full((rows.sum(), 1), START), 3 + len(relation), 5 + len(relation)
        pairs = [np.stack([coloured[rows, k], shaped[rows, k]], 1) for k in (0, 1)]
        between = np.tile(relation, (rows.sum(), 1))
        texts[rows, : end + 1] = np.concatenate([start, pairs[0], between, pairs[1], start * 0 + END], 1)
        places[rows, 1:3], places[rows, second:end] = cells[rows, :1], cells[rows, 1:]
    return images, texts, places
