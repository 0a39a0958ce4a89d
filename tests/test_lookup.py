"""The task of three tokens: what it holds, and that it cannot be solved without learning where to look."""

import numpy as np
import pytest

from attn_edu.core import self_attention, weighted_sum
from attn_edu.tasks import three_token_lookup


@pytest.mark.parametrize(("labels", "contents"), [(2, 2), (3, 4), (5, 3)])
def test_every_sequence_once_and_its_answer(labels, contents):
    x, answer = three_token_lookup(labels, contents)
    d = 2 * labels + contents
    assert x.shape == (labels * (labels - 1) * contents * (contents - 1), 3, d) and answer.shape == x.shape[:1]
    assert len(np.unique(x.reshape(len(x), -1), axis=0)) == len(x)
    assert set(np.unique(x)) == {0.0, 1.0} and (x.sum(-1) == [2, 2, 1]).all()
    label, content, asked = np.split(x, [labels, labels + contents], axis=-1)
    for n in range(len(x)):
        card = next(j for j in range(2) if label[n, j].argmax() == asked[n, 2].argmax())
        assert answer[n] == content[n, card].argmax()
    assert (x[0::2, :2] == x[1::2, :2]).all() and (x[0::2, 2] != x[1::2, 2]).any(-1).all()
    assert np.bincount(answer).tolist() == [len(x) / contents] * contents


def test_inputs_alone_cannot_tell_the_cards_apart():
    x, _ = three_token_lookup()
    weights = weighted_sum(x)[1][:, 2]
    np.testing.assert_array_equal(weights[:, 0], weights[:, 1])


def test_written_matrices_can():
    x, answer = three_token_lookup(3, 4)
    W_Q, W_K, W_V = np.zeros((10, 3)), np.zeros((10, 3)), np.zeros((10, 4))
    W_Q[7:], W_K[:3], W_V[3:7] = 20 * np.eye(3), np.eye(3), np.eye(4)
    found = self_attention(x, W_Q=W_Q, W_K=W_K, W_V=W_V)[0][:, 2]
    assert (found.argmax(-1) == answer).all() and found[range(len(x)), answer].min() > 0.99


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((1, 4), ValueError, "labels: wanted an integer of at least 2, got 1"),
        ((3, 0), ValueError, "contents: wanted an integer of at least 1, got 0"),
        ((3, 2.0), TypeError, "contents: wanted an integer, got float"),
        ((True, 4), TypeError, "labels: wanted an integer, got bool"),
    ],
)
def test_lookup_refuses(unhooked, arguments, error, message):
    with pytest.raises(error, match=message):
        three_token_lookup(*arguments)
