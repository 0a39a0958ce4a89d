"""Local attention in images: its masks counted by hand, its order, its reductions, nothing square, and its cost."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from attn_edu.core import scaled_dot_product
from attn_edu.mechanism import Example
from attn_edu.memory import Largest
from attn_edu.properties import PROPERTIES
from attn_edu.vision import (
    LocalAttention1d,
    LocalAttention2d,
    block_order,
    local_attention_1d,
    local_attention_2d,
    memory_1d,
    memory_2d,
)

SHAPES = [(1, 1), (1, 7), (6, 1), (4, 6), (5, 7)]
BLOCKS = [(1, 1), (2, 3), (3, 2), (9, 9)]
MEMORIES = [(0, 0), (1, 2), (2, 0), (9, 9)]


def draw(*axes, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(2, *axes, width)) for width in (3, 3, 5)]


def flat(x):
    return x.reshape(*x.shape[:-3], -1, x.shape[-1])


# Order and masks, without an array in sight.


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize(("height", "width"), SHAPES)
def test_order_is_that_of_four_loops(height, width, block):
    wanted, t = {}, 0
    for top in range(0, height, block[0]):
        for left in range(0, width, block[1]):
            for r in range(top, min(height, top + block[0])):
                for c in range(left, min(width, left + block[1])):
                    wanted[r, c], t = t, t + 1
    assert {place: int(t) for place, t in np.ndenumerate(block_order(height, width, block))} == wanted


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize(("height", "width"), SHAPES)
def test_plane_seen_pixel_by_pixel(height, width, block, memory, causal):
    order = block_order(height, width, block)
    got = memory_2d(height, width, block=block, memory=memory, causal=causal)
    got = got.reshape(height, width, height, width)
    for r, c in np.ndindex(height, width):
        top, left = r - r % block[0], c - c % block[1]
        for i, j in np.ndindex(height, width):
            near = (
                top - memory[0] <= i <= top + block[0] - 1 and left - memory[1] <= j <= left + block[1] - 1 + memory[1]
            )
            assert got[r, c, i, j] == (near and (not causal or order[i, j] <= order[r, c])), (r, c, i, j)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize(("block", "memory"), [(1, 0), (1, 3), (3, 0), (3, 4), (4, 1), (20, 0), (2, 20)])
def test_line_seen_place_by_place(block, memory, causal):
    got = memory_1d(11, block=block, memory=memory, causal=causal)
    for i, j in np.ndindex(11, 11):
        start = i - i % block
        assert got[i, j] == (start - memory <= j <= (i if causal else start + block - 1)), (i, j)


# Reductions.


@pytest.mark.parametrize("form", ["numpy", "torch", "fused"])
@pytest.mark.parametrize(("block", "memory"), [(1, 10), (3, 9), (4, 40), (11, 0), (50, 0)])
def test_memory_of_all_is_full_attention(block, memory, form):
    arrays = draw(11)
    for causal in (True, False):
        if not causal and block < 11:
            continue  # a memory block does not reach past its query block
        wanted = scaled_dot_product(*arrays, causal=causal)
        options = {"block": block, "memory": memory, "causal": causal}
        for got, right in zip(run(local_attention_1d, LocalAttention1d, arrays, options, form), wanted, strict=True):
            if got is not None:
                assert_allclose(got, right, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("form", ["numpy", "torch", "fused"])
@pytest.mark.parametrize(("block", "memory"), [((1, 1), (4, 5)), ((2, 3), (9, 9)), ((3, 2), (4, 5)), ((5, 6), (0, 0))])
def test_image_in_memory_is_full_attention(block, memory, form):
    """Causal attention over the pixels in the order of generation, and plain attention without an order."""
    arrays = draw(5, 6)
    first = np.argsort(block_order(5, 6, block).ravel())
    for causal in (True, False):
        if not causal and block[0] + memory[0] < 9 and block != (5, 6):
            continue  # a memory block does not reach below its query block
        if not causal:
            block = (5, 6)
        sequence = [flat(x)[:, first if causal else slice(None)] for x in arrays]
        output, weights = scaled_dot_product(*sequence, causal=causal)
        options = {"block": block, "memory": memory, "causal": causal}
        got = run(local_attention_2d, LocalAttention2d, arrays, options, form)
        places = first if causal else np.arange(30)
        assert_allclose(flat(got[0])[:, places], output, rtol=1e-10, atol=1e-14)
        if got[1] is not None:
            assert_allclose(got[1][:, places][:, :, places], weights, rtol=1e-10, atol=1e-14)


def run(function, module, arrays, options, form):
    if form == "numpy":
        return function(*arrays, **options)
    output, weights = module(**options)(*map(torch.from_numpy, arrays), need_weights=form == "torch")
    return output.numpy(), None if weights is None else weights.numpy()


@pytest.mark.parametrize("memory", [0, 1, 4, 30])
def test_single_places_are_a_sliding_window(memory):
    band = np.tril(np.triu(np.ones((11, 11), dtype=bool), -memory))
    assert_array_equal(memory_1d(11, block=1, memory=memory), band)
    wanted = scaled_dot_product(*draw(11), attn_mask=band)
    for got, right in zip(local_attention_1d(*draw(11), block=1, memory=memory), wanted, strict=True):
        assert_allclose(got, right, rtol=1e-10)


@pytest.mark.parametrize(("block", "memory"), [(1, 2), (3, 2), (4, 9)])
def test_one_row_is_a_line(block, memory):
    """On an image of one row the two are one, as long as pixels have an order."""
    line, plane = {"block": block, "memory": memory}, {"block": (1, block), "memory": (0, memory)}
    assert_array_equal(memory_2d(1, 11, **plane), memory_1d(11, **line))
    arrays = [x[:, None] for x in draw(11)]
    for form in ("torch", "fused"):
        one = run(local_attention_1d, LocalAttention1d, draw(11), line, form)
        two = run(local_attention_2d, LocalAttention2d, arrays, plane, form)
        assert_allclose(two[0][:, 0], one[0], rtol=1e-10, atol=1e-14)
        if one[1] is not None:
            assert_allclose(two[1], one[1], rtol=1e-10, atol=1e-14)


def test_whole_rows_keep_reading_order():
    assert_array_equal(block_order(4, 5, (1, 5)).ravel(), np.arange(20))
    assert_array_equal(block_order(4, 5, (1, 1)).ravel(), np.arange(20))
    assert_array_equal(block_order(4, 5, (3, 5)).ravel(), np.arange(20))
    assert not np.array_equal(block_order(4, 5, (2, 2)).ravel(), np.arange(20))


# Nothing later is seen.


@pytest.mark.parametrize("options", [{"block": 3, "memory": 2}, {"block": 1, "memory": 4}])
def test_line_is_causal(options):
    example = Example(dict(zip(("query", "key", "value"), draw(11), strict=True)), options={**options, "causal": True})
    holds = PROPERTIES["causal_when_asked"]
    assert holds(lambda e: local_attention_1d(**e.inputs, **e.options), example, np.random.default_rng(1)) is True
    example = Example(example.inputs, options={**options, "causal": False})
    both = local_attention_1d(**example.inputs, **example.options)[1]
    assert np.triu(both, 1).any() == (options["block"] > 1)


@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize(("block", "memory"), [((2, 3), (1, 2)), ((3, 2), (9, 9)), ((1, 1), (2, 2))])
def test_no_pixel_depends_on_a_later_one(block, memory, need_weights):
    """Change all pixels from one time on, keys and values: what came before stays to the last bit."""
    arrays = [torch.from_numpy(x) for x in draw(5, 7)]
    order = torch.from_numpy(block_order(5, 7, block))
    layer = LocalAttention2d(block, memory)
    before = layer(*arrays, need_weights=need_weights)[0]
    for now in range(1, 35):
        late = (order >= now)[..., None]
        other = [torch.where(late, torch.randn_like(x), x) for x in arrays]
        after = layer(*other, need_weights=need_weights)[0]
        assert torch.equal(after[:, order < now], before[:, order < now])
        assert not torch.equal(after[:, order == now], before[:, order == now])


@pytest.mark.parametrize("form", ["line", "plane"])
def test_generating_pixel_by_pixel_agrees_with_one_pass(form):
    """A model whose pixel t is a function of what it sees: the finished image, read once, gives the same numbers."""
    height, width = 5, 6
    if form == "line":
        layer, order = LocalAttention1d(4, 5), np.arange(30)
    else:
        layer, order = LocalAttention2d((2, 4), (1, 2)), block_order(height, width, (2, 4)).ravel()
    first = torch.from_numpy(np.argsort(order))
    generator = torch.Generator().manual_seed(0)
    place = torch.randn(30, 4, dtype=torch.float64, generator=generator)
    W = torch.randn(3, 4, 4, dtype=torch.float64, generator=generator)

    def read(pixels):
        """Put every pixel where its successor stands, attend, and predict one number for each place."""
        shown = torch.zeros(30, dtype=torch.float64)
        shown[first[1:]] = pixels[first[:-1]]
        x = place + shown[:, None]
        q, k, v = (x @ m for m in W)
        if form == "plane":
            q, k, v = (part.unflatten(0, (height, width)) for part in (q, k, v))
        return layer(q, k, v, need_weights=False)[0].reshape(30, 4).sin().sum(-1)

    image = torch.full((30,), 100.0, dtype=torch.float64)  # what is not yet generated is nonsense
    for pixel in first:
        image[pixel] = read(image)[pixel]
    assert image.abs().max() < 10
    assert_allclose(read(image), image, rtol=0, atol=1e-12)


# Blocks that do not divide, and padding that nobody sees.


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 12, 13])
def test_any_length(length, causal):
    for block, memory in ((1, 0), (4, 0), (4, 3), (5, 7), (20, 2)):
        options = {"block": block, "memory": memory, "causal": causal}
        wanted = local_attention_1d(*draw(length), **options)
        explicit = run(None, LocalAttention1d, draw(length), options, "torch")
        fused = run(None, LocalAttention1d, draw(length), options, "fused")
        assert_allclose(explicit[0], wanted[0], rtol=1e-10, atol=1e-14)
        assert_allclose(explicit[1], wanted[1], rtol=1e-10, atol=1e-14)
        assert_allclose(fused[0], wanted[0], rtol=1e-10, atol=1e-14)
        assert_array_equal(explicit[1] != 0, np.broadcast_to(memory_1d(length, **options), explicit[1].shape))


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize(("height", "width"), SHAPES)
def test_any_image(height, width, causal):
    for block, memory in ((2, 3), (1, 2)), ((3, 2), (0, 1)), ((4, 4), (9, 9)):
        options = {"block": block, "memory": memory, "causal": causal}
        wanted = local_attention_2d(*draw(height, width), **options)
        explicit = run(None, LocalAttention2d, draw(height, width), options, "torch")
        fused = run(None, LocalAttention2d, draw(height, width), options, "fused")
        assert_allclose(explicit[0], wanted[0], rtol=1e-10, atol=1e-14)
        assert_allclose(explicit[1], wanted[1], rtol=1e-10, atol=1e-14)
        assert_allclose(fused[0], wanted[0], rtol=1e-10, atol=1e-14)
        sees = memory_2d(height, width, **options)
        assert_array_equal(explicit[1] != 0, np.broadcast_to(sees, explicit[1].shape))


# Cost.


class Stored(Largest):
    """Keep the size of the largest memory behind a tensor: an expanded view is larger than what it shows."""

    def size(self, made):
        return made.untyped_storage().nbytes() // made.element_size()


def test_nothing_square_and_memory_linear():
    """Without weights nothing grows faster than the image, and the scores of all heads are never held."""
    for batch in (1, 3):
        largest = []
        for side in (32, 64):
            x = torch.randn(batch, 4, side, side, 8, requires_grad=True)
            with Stored() as watch:
                LocalAttention2d((8, 8), (4, 4))(x, x, x, need_weights=False)[0].sum().backward()
            largest.append(watch.elements)
            keys = (side // 8) ** 2 * (8 + 4) * (8 + 8)  # of all memory blocks
            mask = 64 * keys  # one for all batch elements and heads
            assert watch.elements <= max(mask, batch * 4 * keys * 8) < batch * 4 * mask
        assert largest[1] == 4 * largest[0] < 64**4 / 8
    largest = []
    for length in (2048, 4096):
        x = torch.randn(3, 4, length, 8, requires_grad=True)
        with Stored() as watch:
            LocalAttention1d(64, 64)(x, x, x, need_weights=False)[0].sum().backward()
        largest.append(watch.elements)
        assert watch.elements <= 3 * 4 * 2 * length * 8
    assert largest[1] <= 2.1 * largest[0] < 4096**2 / 8


def test_memory_larger_than_the_image_costs_no_more():
    x = torch.randn(1, 1, 40, 8)
    sizes = []
    for memory in (39, 10_000):
        with Stored() as watch:
            LocalAttention1d(1, memory)(x, x, x, need_weights=False)
        sizes.append(watch.elements)
    assert sizes[0] == sizes[1]


# Words of refusal beyond the contract's.


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: block_order(3, 3, (0, 1)), "block: wanted an integer of at least 1, got 0"),
        (lambda: block_order(3, 3, 2), "block: wanted a tuple of two integers, got 2"),
        (lambda: block_order(-1, 3, (1, 1)), "height: wanted an integer of at least 0, got -1"),
        (lambda: memory_1d(-1, block=1, memory=0), "length: wanted an integer of at least 0, got -1"),
        (lambda: memory_2d(3, 3, block=(1, 1), memory=(0, -1)), "memory: wanted an integer of at least 0, got -1"),
    ],
)
def test_refuses(unhooked, call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()
