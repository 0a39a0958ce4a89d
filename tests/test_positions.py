"""What positions let a score see, beside closed forms and beside plain attention."""

import contract
import numpy as np
import pytest
import torch
from einops import rearrange
from numpy.testing import assert_allclose

from attn_edu.core import scaled_dot_product
from attn_edu.mechanism import Sizes, draw_query_key_value
from attn_edu.memory import Largest
from attn_edu.positions import (
    Alibi,
    LearnedPositions,
    RelativeAttention,
    Rotary,
    SinusoidalPositions,
    alibi,
    learned_positions,
    relative_attention,
    rotary,
    sinusoidal_positions,
)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def table(length, d, **options):
    return sinusoidal_positions(np.zeros((length, d)), **options)


def test_sinusoids_are_the_papers():
    """Vaswani et al. (2017), section 3.5, entry by entry."""
    got = table(50, 6)
    for position, c in np.ndindex(50, 3):
        angle = position / 10000 ** (2 * c / 6)
        assert_allclose(got[position, 2 * c : 2 * c + 2], [np.sin(angle), np.cos(angle)], atol=1e-12)


def test_a_dot_product_of_sinusoids_sees_the_distance_and_no_direction():
    p = table(40, 32)
    products = p @ p.T
    for offset in range(1, 40):
        assert_allclose(np.diag(products, offset), products[0, offset])
        assert_allclose(np.diag(products, -offset), products[0, offset])
    frequencies = 10000 ** (-np.arange(0, 32, 2) / 32)
    assert_allclose(products[0], np.cos(np.outer(np.arange(40), frequencies)).sum(1))


def test_a_step_turns_every_sinusoid_by_a_fixed_angle():
    """One matrix takes position t to t + 3, for every t: a rotation of each (sine, cosine) pair."""
    p = table(40, 8)
    step, *_ = np.linalg.lstsq(p[:-3], p[3:], rcond=None)
    assert_allclose(p[:-3] @ step, p[3:], atol=1e-9)


def test_rotary_scores_see_the_offset_alone(rng):
    q, k = rng.normal(size=(2, 1, 8))
    at = {s: (rotary(q, start=s), rotary(k, start=s)) for s in range(12)}
    for m, n in np.ndindex(9, 9):
        assert_allclose(at[m][0] @ at[n][1].T, at[m + 3][0] @ at[n + 3][1].T, rtol=1e-10)
    assert abs((at[0][0] @ at[2][1].T - at[2][0] @ at[0][1].T).item()) > 1e-3  # and its direction


def test_rotary_keeps_lengths(rng):
    x = rng.normal(size=(2, 7, 10))
    assert_allclose(np.linalg.norm(rotary(x), axis=-1), np.linalg.norm(x, axis=-1))


def test_rotary_is_multiplication_by_a_unit_complex_number(rng):
    x = rng.normal(size=(7, 6))
    turn = np.exp(1j * np.outer(np.arange(7), 10000 ** (-np.arange(3) / 3)))
    turned = (x[:, 0::2] + 1j * x[:, 1::2]) * turn
    assert_allclose(rotary(x), np.stack([turned.real, turned.imag], -1).reshape(7, 6))


def test_rotary_with_halves_is_another_order_of_columns(rng):
    """Much public code pairs feature c with c + d/2: the same mechanism for permuted columns."""
    x = rng.normal(size=(7, 6))
    angle = np.outer(np.arange(7), 10000 ** (-np.arange(3) / 3))
    a, b = x[:, :3], x[:, 3:]
    halves = np.concatenate([a * np.cos(angle) - b * np.sin(angle), b * np.cos(angle) + a * np.sin(angle)], 1)
    interleaved = rearrange(x, "l (i c) -> l (c i)", i=2)
    assert_allclose(rearrange(halves, "l (i c) -> l (c i)", i=2), rotary(interleaved))


@pytest.mark.parametrize(
    ("function", "module"), [(sinusoidal_positions, SinusoidalPositions()), (rotary, Rotary())], ids=["waves", "turns"]
)
def test_start_is_where_the_first_row_stands(rng, function, module):
    x = rng.normal(size=(2, 9, 6))
    assert_allclose(function(x[:, 4:], start=4), function(x)[:, 4:], rtol=1e-12)
    late = module(torch.from_numpy(x[:, 4:]), start=4)
    assert_allclose(late, function(x)[:, 4:], rtol=1e-10)
    for start in (-1, 1.5, True):
        for call in (lambda start=start: function(x, start=start), lambda start=start: module(late, start=start)):
            with (
                contract.shapes_checked(False),
                pytest.raises((TypeError, ValueError), match="start: wanted an integer"),
            ):
                call()


def test_angles_stay_exact_in_low_precision():
    """Positions above 256 cannot be told apart in bfloat16, so angles are not computed in it."""
    x = torch.zeros(1000, 4, dtype=torch.bfloat16)
    assert_allclose(SinusoidalPositions()(x).double(), table(1000, 4), atol=0.004)


def test_alibi_slopes_are_the_papers():
    """For 8 heads: 1/2, 1/4, …, 1/256."""
    assert_allclose(Alibi(8).slopes, 0.5 ** np.arange(1, 9))
    assert_allclose(Alibi(16).slopes[:2], [2**-0.5, 2**-1.0])


def test_no_slope_and_no_table_leave_plain_attention(rng):
    arrays = draw_query_key_value(rng, Sizes(batch=(2, 3)))
    wanted = scaled_dot_product(**arrays)
    flat = alibi(**arrays, slopes=np.zeros(3))
    empty = relative_attention(**arrays, a_K=np.zeros((5, 13)), a_V=np.zeros((5, 19)))
    for ours in (flat, empty):
        for a, b in zip(ours, wanted, strict=True):
            assert_allclose(a, b, rtol=1e-10)


def test_steep_slopes_leave_the_own_position(rng):
    arrays = draw_query_key_value(rng, Sizes(batch=(1,), L=7))
    assert_allclose(alibi(**arrays, slopes=np.array([1e4]))[0], arrays["value"], atol=1e-12)


def test_a_bias_that_is_causal_needs_no_query_position(rng):
    """With causal order −m(i − j) differs from mj by a constant of the row, which a softmax drops."""
    arrays = draw_query_key_value(rng, Sizes(batch=(1,), L=7))
    output, _ = alibi(**arrays, slopes=np.array([0.3]), causal=True)
    scores = arrays["query"] @ arrays["key"].mT / np.sqrt(13) + 0.3 * np.arange(7)
    powers = np.exp(scores) * np.tri(7)
    assert_allclose(output, powers @ arrays["value"] / powers.sum(-1, keepdims=True))


def test_relative_attention_can_look_one_place_back(rng):
    """A table that shouts at offset −1 makes a layer of one-place shifts, whatever the words say."""
    x = rng.normal(size=(6, 4))
    a_K = np.zeros((5, 4))
    a_K[1, 0] = 1e4
    query = np.zeros((6, 4))
    query[:, 0] = 1.0
    output, _ = relative_attention(query, x, x, a_K=a_K, a_V=np.zeros((5, 4)))
    assert_allclose(output[1:], x[:-1], atol=1e-9)


def test_clipping_is_exact(rng):
    """Beyond k offsets share a vector: a table for every offset, with equal rows there, gives the same."""
    arrays = draw_query_key_value(rng, Sizes())
    a_K, a_V = rng.normal(size=(5, 13)), rng.normal(size=(5, 19))
    rows = np.clip(np.arange(-6, 7), -2, 2) + 2
    for ours, wanted in zip(
        relative_attention(**arrays, a_K=a_K, a_V=a_V),
        relative_attention(**arrays, a_K=a_K[rows], a_V=a_V[rows]),
        strict=True,
    ):
        assert_allclose(ours, wanted, rtol=1e-10)


def test_what_cannot_be_is_said():
    with pytest.raises(ValueError, match="x: wanted at most as many inputs as P has places, 3, got 4"):
        learned_positions(np.zeros((4, 2)), P=np.zeros((3, 2)))
    with pytest.raises(ValueError, match="x: wanted an even width, to pair its features, got 3"):
        rotary(np.zeros((4, 3)))
    with pytest.raises(ValueError, match="x: wanted an even width, to pair its features, got 3"):
        Rotary()(torch.zeros(4, 3))
    with pytest.raises(ValueError, match="x: wanted at most as many inputs as P has places, 3, got 4"):
        LearnedPositions(3, 2)(torch.zeros(4, 2))
    with pytest.raises(ValueError, match=r"a_K.*wanted an odd number of rows, for the offsets −k to k, got 4"):
        relative_attention(*np.zeros((3, 2, 1)), a_K=np.zeros((4, 1)), a_V=np.zeros((4, 1)))


def test_relative_attention_lays_out_no_vector_for_every_pair():
    """The plain form makes L × S × d numbers; the module makes none larger than the scores, there and back."""
    L, d = 128, 16
    layer, x = RelativeAttention(d, d, clip=4), torch.randn(L, d, requires_grad=True)
    with Largest() as watch:
        layer(x, x, x)[0].sum().backward()
    assert watch.elements == L * L


def test_alibi_fused_stores_one_bias_for_the_whole_batch():
    """A bias with three axes once sent PyTorch to its explicit path, which stores the scores of every batch element."""
    L, heads, batch = 64, 2, 5
    x = torch.randn(batch, heads, L, 4, requires_grad=True)
    with Largest() as watch:
        Alibi(heads)(x, x, x, need_weights=False)[0].sum().backward()
    assert watch.elements == heads * L * L
