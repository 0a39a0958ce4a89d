"""The task of the chapter on axial attention: what it draws, and that both a row and a column decide."""

import numpy as np
import pytest

from attn_edu.tasks import two_rooks


def draw(count=300, side=6, seed=0):
    return two_rooks(np.random.default_rng(seed), count, side)


@pytest.mark.parametrize("side", [2, 5, 16])
def test_one_rook_a_line_and_the_right_answer(side):
    boards, answer = draw(40, side)
    assert boards.shape == answer.shape == (40, side, side)
    assert ((boards > 0).sum(1) == 1).all() and ((boards > 0).sum(2) == 1).all()
    for board, right in zip(boards, answer, strict=True):
        for row, column in np.ndindex(side, side):
            beside = next(piece for piece in board[row] if piece)
            above = next(piece for piece in board[:, column] if piece)
            assert right[row, column] == 2 * (beside == 2) + (above == 2)


def test_rows_say_nothing_about_columns():
    boards, answer = draw(4000)
    empty = boards == 0
    counts = np.bincount(answer[empty], minlength=4) / empty.sum()
    assert abs(counts - 0.25).max() < 0.01
    assert set(answer[boards == 1]) == {0} and set(answer[boards == 2]) == {3}
    assert abs((boards > 0).mean(0) - 1 / 6).max() < 0.03  # a rook may stand anywhere


def test_transposed_boards_have_transposed_answers():
    boards, answer = draw(50)
    swapped = 2 * (answer % 2) + answer // 2
    in_row = boards.swapaxes(1, 2).max(2, keepdims=True) - 1
    assert np.array_equal(swapped.swapaxes(1, 2) // 2, np.broadcast_to(in_row, boards.shape))


def test_same_seed_same_draw():
    for one, two in zip(draw(seed=3), draw(seed=3), strict=True):
        np.testing.assert_array_equal(one, two)
    assert (draw(seed=3)[0] != draw(seed=4)[0]).any()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"rng": 0}, TypeError, "rng: wanted a numpy.random.Generator, got int"),
        ({"count": 0}, ValueError, "count: wanted an integer of at least 1, got 0"),
        ({"side": 1}, ValueError, "side: wanted an integer of at least 2, got 1"),
        ({"side": 4.0}, TypeError, "side: wanted an integer, got float"),
    ],
)
def test_it_refuses(unhooked, change, error, message):
    with pytest.raises(error, match=message):
        two_rooks(**{"rng": np.random.default_rng(0), "count": 3, "side": 4} | change)
