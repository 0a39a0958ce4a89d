"""Dense layers and convolutions are attention with one-hot weights, and what a softmax reaches of it."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.testing import assert_allclose
from torch import nn

from attn_edu.convolution import CausalConvolution, causal_convolution
from attn_edu.core import multi_head
from attn_edu.memory import Largest
from attn_edu.positions import QuadraticAttention, quadratic_attention

HEIGHT, WIDTH, IN, OUT = 5, 7, 3, 2


def offsets(k):
    """The k² offsets in reading order, from the upper left to the lower right."""
    return np.argwhere(np.ones((k, k))) - k // 2


def one_hot_masks(height, width, k):
    """A mask for each offset: True at the pixel that lies there; an offset that leaves the image is an empty row."""
    pixels = np.argwhere(np.ones((height, width)))
    return np.all(pixels - pixels[:, None] == offsets(k)[:, None, None], axis=-1)


def convolution(x, kernel, **options):
    """`nn.Conv2d` without bias on an image (H, W, channels), with a kernel (k·k, C_in, C_out) in reading order."""
    k = round(len(kernel) ** 0.5)
    layer = nn.Conv2d(*kernel.shape[1:], k, padding=k // 2, bias=False, dtype=torch.float64, **options)
    layer.weight.data = torch.from_numpy(kernel.reshape(k, k, *kernel.shape[1:]).transpose(3, 2, 0, 1).copy())
    return layer(torch.from_numpy(x).permute(2, 0, 1)[None])[0].permute(1, 2, 0).detach().numpy()


def full_width(kernel):
    """Values and output projection of heads that fetch whole pixels: the kernel stands in W_O, offset by offset."""
    return {"W_V": np.tile(np.eye(kernel.shape[1]), len(kernel)), "W_O": kernel.reshape(-1, kernel.shape[2])}


def drawn(k, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(HEIGHT, WIDTH, IN)), rng.normal(size=(k * k, IN, OUT))


def test_a_dense_layer_is_a_head_for_each_position():
    rng = np.random.default_rng(0)
    n, d, out = 5, 3, 7
    x, scores = rng.normal(size=(n, d)), rng.normal(size=(2, d, n))
    dense = nn.Linear(n * d, out, bias=False, dtype=torch.float64)
    masks = np.broadcast_to(np.eye(n, dtype=bool)[:, None], (n, n, n))  # head j sees position j, from everywhere
    output, weights = multi_head(
        x,
        x,
        x,
        W_Q=scores[0],
        W_K=scores[1],
        W_V=np.tile(np.eye(d), n),
        W_O=dense.weight.detach().numpy().T,
        heads=n,
        attn_mask=masks,
    )
    assert np.array_equal(weights, masks)  # exactly one-hot, whatever the scores
    wanted = dense(torch.from_numpy(x).flatten()).detach().numpy()
    assert_allclose(output, np.tile(wanted, (n, 1)), rtol=0, atol=1e-14)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_a_convolution_is_a_head_for_each_offset(k):
    x, kernel = drawn(k)
    masks = one_hot_masks(HEIGHT, WIDTH, k)
    pixels, nothing = x.reshape(-1, IN), np.zeros((IN, k * k))
    output, weights = multi_head(
        pixels, pixels, pixels, W_Q=nothing, W_K=nothing, **full_width(kernel), heads=k * k, attn_mask=masks
    )
    assert np.array_equal(weights, masks)
    assert_allclose(output.reshape(HEIGHT, WIDTH, OUT), convolution(x, kernel), rtol=0, atol=1e-13)


def test_heads_as_wide_as_the_narrower_side_are_enough():
    x, kernel = drawn(3)
    left, sizes, right = np.linalg.svd(kernel, full_matrices=False)  # each matrix of rank min(IN, OUT) = 2
    values = np.concatenate(left * sizes[:, None], axis=1)
    pixels, nothing = x.reshape(-1, IN), np.zeros((IN, 9))
    output, _ = multi_head(
        pixels,
        pixels,
        pixels,
        W_Q=nothing,
        W_K=nothing,
        W_V=values,
        W_O=right.reshape(-1, OUT),
        heads=9,
        attn_mask=one_hot_masks(HEIGHT, WIDTH, 3),
    )
    assert values.shape == (IN, 9 * min(IN, OUT))
    assert_allclose(output.reshape(HEIGHT, WIDTH, OUT), convolution(x, kernel), rtol=0, atol=1e-13)


def quadratic(x, kernel, alpha):
    k = round(len(kernel) ** 0.5)
    return quadratic_attention(
        x, alpha=np.full(k * k, float(alpha)), centres=offsets(k).astype(float), **full_width(kernel)
    )


@pytest.mark.parametrize("k", [3, 5])
def test_the_quadratic_encoding_tends_to_replicated_borders(k):
    """Zero padding is reached inside the image only: a softmax has to give its weight to some pixel."""
    x, kernel = drawn(k)
    output, weights = quadratic(x, kernel, 60)
    assert_allclose(weights.max(-1), 1, atol=1e-12)
    assert_allclose(output, convolution(x, kernel, padding_mode="replicate"), rtol=0, atol=1e-12)
    difference = np.abs(output - convolution(x, kernel)).max(-1)
    edge = k // 2
    inside = np.zeros((HEIGHT, WIDTH), dtype=bool)
    inside[edge:-edge, edge:-edge] = True
    assert difference[inside].max() < 1e-12
    assert difference[~inside].min() > 1e-2


def test_zeros_around_the_image_give_zero_padding():
    x, kernel = drawn(3)
    output, _ = quadratic(np.pad(x, ((1, 1), (1, 1), (0, 0))), kernel, 60)
    assert_allclose(output[1:-1, 1:-1], convolution(x, kernel), rtol=0, atol=1e-12)


def test_the_error_of_the_limit_shrinks_exponentially():
    x, kernel = drawn(3)
    wanted = convolution(x, kernel, padding_mode="replicate")
    errors = [np.abs(quadratic(x, kernel, alpha)[0] - wanted).max() for alpha in (8, 12, 16)]
    assert_allclose(np.log(errors[0] / errors[1]), 4, atol=0.01)
    assert_allclose(np.log(errors[1] / errors[2]), 4, atol=0.01)


@pytest.mark.parametrize("heads", [0, 2])
def test_a_quadratic_head_for_every_share_of_the_columns(heads):
    x, W_V, W_O = np.ones((2, 2, 3)), np.ones((3, 5)), np.ones((5, 3))
    with pytest.raises(ValueError, match=f"W_V: wanted as many columns for each of {heads} heads, as in alpha, got 5"):
        quadratic_attention(x, alpha=np.ones(heads), centres=np.ones((heads, 2)), W_V=W_V, W_O=W_O)


def test_quadratic_weights_by_the_papers_vectors():
    """The score is v·r up to a constant per head, and at α = 0 a head averages the whole image."""
    rng = np.random.default_rng(1)
    x, alpha, centres = rng.normal(size=(HEIGHT, WIDTH, IN)), rng.uniform(0.2, 2, size=3), rng.normal(size=(3, 2))
    rest = {"W_V": rng.normal(size=(IN, 6)), "W_O": rng.normal(size=(6, OUT))}
    _, weights = quadratic_attention(x, alpha=alpha, centres=centres, **rest)
    v = -alpha[:, None] * np.stack([np.ones(3), -2 * centres[:, 0], -2 * centres[:, 1]], axis=-1)
    pixels = np.argwhere(np.ones((HEIGHT, WIDTH)))
    delta = pixels - pixels[:, None]
    r = np.concatenate([(delta**2).sum(-1, keepdims=True), delta], axis=-1)
    powers = np.exp(np.einsum("hp,ijp->hij", v, r))
    assert_allclose(weights, powers / powers.sum(-1, keepdims=True), rtol=1e-10)
    _, uniform = quadratic_attention(x, alpha=np.zeros(3), centres=centres, **rest)
    assert_allclose(uniform, 1 / (HEIGHT * WIDTH), rtol=1e-12)


def test_a_centre_between_two_pixels_shares_evenly():
    x = np.arange(12.0).reshape(3, 4, 1)
    one = np.ones((1, 1))
    output, weights = quadratic_attention(x, alpha=np.array([60.0]), centres=np.array([[0.0, 0.5]]), W_V=one, W_O=one)
    assert_allclose(weights[0, 5, 5:7], 0.5, atol=1e-12)
    assert_allclose(output[:, :3], x[:, :3] + 0.5, atol=1e-12)
    assert_allclose(output[:, 3], x[:, 3], atol=1e-12)  # at the edge no second pixel is as near


def test_weights_of_an_axis_come_in_single_precision_at_least():
    layer = QuadraticAttention(d_model=1, heads=1, d_v=1)
    assert layer.bfloat16().along(0, 3).dtype == torch.float32
    assert layer.double().along(1, 3).dtype == torch.float64


def test_without_weights_no_square_of_pixels_is_made():
    layer, x = QuadraticAttention(d_model=2, heads=3, d_v=2), torch.randn(20, 30, 2)
    for need_weights, most in ((False, 3 * 600 * 2), (True, 3 * 600 * 600)):
        with torch.no_grad(), Largest() as seen:
            layer(x, need_weights=need_weights)
        assert seen.elements == most


@pytest.mark.parametrize(("k", "dilation"), [(1, 1), (2, 1), (3, 2), (4, 5), (3, 40)])
def test_causal_convolution_is_pytorchs_with_padding_on_the_left(k, dilation):
    rng = np.random.default_rng(k)
    x, W, b = rng.normal(size=(2, 13, IN)), rng.normal(size=(k, IN, OUT)), rng.normal(size=OUT)
    kernel = torch.from_numpy(W[::-1].transpose(2, 1, 0).copy())  # (C_out, C_in, k), the earliest input first
    reach = (k - 1) * dilation
    both = F.conv1d(torch.from_numpy(x).mT, kernel, torch.from_numpy(b), padding=reach, dilation=dilation).mT
    output = causal_convolution(x, W=W, b=b, dilation=dilation)
    assert_allclose(output, both[:, :13].numpy(), rtol=1e-12, atol=1e-12)


def test_causal_convolution_is_attention_to_fixed_steps_back():
    rng = np.random.default_rng(0)
    k, dilation, length = 3, 2, 11
    x, W = rng.normal(size=(length, IN)), rng.normal(size=(k, IN, OUT))
    place = np.arange(length)
    masks = np.stack([place == place[:, None] - m * dilation for m in range(k)])
    nothing = np.zeros((IN, k))
    output, _ = multi_head(x, x, x, W_Q=nothing, W_K=nothing, **full_width(W), heads=k, attn_mask=masks, causal=True)
    wanted = causal_convolution(x, W=W, b=np.zeros(OUT), dilation=dilation)
    assert_allclose(output, wanted, rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    ("k", "dilations"), [(2, (1,)), (2, (1, 2, 4, 8)), (3, (1, 3, 9)), (3, (1, 1, 1)), (2, (1, 2, 1, 2)), (5, (4,))]
)
def test_receptive_field_of_a_stack(k, dilations):
    """The last output depends on 1 + (k − 1)·Σ dilations positions, and, with no gap, on all of them."""
    length = 40
    torch.manual_seed(0)
    x = torch.randn(length, 1, dtype=torch.float64, requires_grad=True)
    layers = [CausalConvolution(1, 1, k, dilation).double() for dilation in dilations]
    nn.Sequential(*layers)(x)[-1].sum().backward()
    reached = (x.grad[:, 0] != 0).nonzero()[:, 0]
    assert length - reached.min() == 1 + (k - 1) * sum(dilations)
    if dilations != (4,):
        assert len(reached) == 1 + (k - 1) * sum(dilations)


@pytest.mark.parametrize("dilation", [1, 2, 7])
def test_no_later_input_reaches_an_earlier_output(dilation):
    rng = np.random.default_rng(0)
    x, W, b = rng.normal(size=(9, IN)), rng.normal(size=(3, IN, OUT)), rng.normal(size=OUT)
    layer = CausalConvolution(IN, OUT, 3, dilation).double()
    layer.load_state_dict({"W": torch.from_numpy(W), "b": torch.from_numpy(b)})
    before = causal_convolution(x, W=W, b=b, dilation=dilation), layer(torch.from_numpy(x))
    for position in range(1, 9):
        later = x.copy()
        later[position:] += rng.normal(size=later[position:].shape)
        after = causal_convolution(later, W=W, b=b, dilation=dilation), layer(torch.from_numpy(later))
        assert np.array_equal(after[0][:position], before[0][:position])
        assert torch.equal(after[1][:position], before[1][:position])
        assert not np.allclose(after[0][position], before[0][position])
