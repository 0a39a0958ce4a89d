"""Axial attention beside masked attention on the flattened array, what its layers can see, and what they store."""

import itertools

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from attn_edu.core import MultiHead, multi_head
from attn_edu.memory import Largest
from attn_edu.vision import AxialAttention, axial_attention

H, W, D = 5, 7, 6
ROWS, COLUMNS = -2, -3


def draw(axes=(H, W), n=1, d=D, seed=0):
    rng = np.random.default_rng(seed)
    # Not too large, or a softmax is decided, and what it leaves out has a slope of zero.
    parameters = {name: rng.normal(size=(n, d, d)) / d**0.5 for name in ("W_Q", "W_K", "W_V", "W_O")}
    return rng.normal(size=(*axes, d)), parameters


def layer(parameters, **options):
    made = AxialAttention(parameters["W_Q"].shape[1], **options).double()
    made.load_state_dict({name: torch.from_numpy(array) for name, array in parameters.items()})
    return made


def same(axes, kept):
    """Which cells of an array, in reading order, share all the axes that are kept."""
    places = np.argwhere(np.ones(axes))[:, list(kept)]
    return (places[:, None] == places).all(-1)


# It is attention with a mask.


@pytest.mark.parametrize(
    ("axes", "axis", "kept"),
    [((H, W), ROWS, [0]), ((H, W), COLUMNS, [1]), ((2, 3, 5), -4, [1, 2]), ((2, 3, 5), -3, [0, 2])],
    ids=["rows", "columns", "first of three", "second of three"],
)
def test_one_axis_is_full_attention_under_its_mask(axes, axis, kept):
    x, parameters = draw(axes)
    flat, mask = x.reshape(-1, D), same(axes, kept)
    single = {name: array[0] for name, array in parameters.items()}
    wanted, weights = multi_head(flat, flat, flat, **single, heads=2, attn_mask=mask)
    output, (maps,) = axial_attention(x, **parameters, heads=2, along=(axis,))
    assert_allclose(output.reshape(-1, D), wanted, rtol=1e-10)
    # Its weights are the masked matrix without the zeros.
    lines = np.moveaxis(np.arange(len(flat)).reshape(axes), axis + 1, -1)
    for place in np.ndindex(lines.shape[:-1]):
        line = lines[place]
        assert_allclose(maps[place], weights[:, line[:, None], line], rtol=1e-10)
    assert maps.size == 2 * mask.sum()  # nothing else is stored
    for need_weights in (True, False):
        got = layer(parameters, heads=2, along=(axis,))(torch.from_numpy(x), need_weights=need_weights)[0]
        assert_allclose(got.detach().reshape(-1, D), wanted, rtol=1e-10)


def test_on_a_single_line_it_is_full_attention():
    x, parameters = draw((1, 11))
    single = {name: array[0] for name, array in parameters.items()}
    wanted, weights = multi_head(x[0], x[0], x[0], **single, heads=3)
    output, (maps,) = axial_attention(x, **parameters, heads=3, along=(ROWS,))
    assert_allclose(output[0], wanted, rtol=1e-10)
    assert_allclose(maps[0], weights, rtol=1e-10)
    full = MultiHead(D, 3).double()
    full.load_state_dict({name: torch.from_numpy(array) for name, array in single.items()})
    tensor = torch.from_numpy(x)
    got = layer(parameters, heads=3, along=(ROWS,))(tensor, need_weights=False)[0]
    assert_allclose(got[0].detach(), full(tensor[0], tensor[0], tensor[0])[0].detach(), rtol=1e-10)


def test_stacked_is_one_after_the_other_and_summed_is_the_sum():
    x, parameters = draw(n=2)
    parts = [{name: array[n : n + 1] for name, array in parameters.items()} for n in range(2)]
    rows, (row_maps,) = axial_attention(x, **parts[0], heads=2, along=(ROWS,))
    then, (then_maps,) = axial_attention(rows, **parts[1], heads=2, along=(COLUMNS,))
    beside, (beside_maps,) = axial_attention(x, **parts[1], heads=2, along=(COLUMNS,))
    both = {"heads": 2, "along": (ROWS, COLUMNS)}
    for summed, output, maps in ((False, then, then_maps), (True, rows + beside, beside_maps)):
        got, (first, second) = axial_attention(x, **parameters, **both, summed=summed)
        assert_allclose(got, output, rtol=1e-12)
        assert_allclose(first, row_maps)
        assert_allclose(second, maps)
    assert first.shape == (H, 2, W, W) and second.shape == (W, 2, H, H)


def test_an_axis_may_come_twice():
    x, parameters = draw(n=3)
    again = axial_attention(x, **parameters, heads=2, along=(ROWS, COLUMNS, ROWS))[0]
    for n, axis in enumerate((ROWS, COLUMNS, ROWS)):
        x = axial_attention(x, **{k: v[n : n + 1] for k, v in parameters.items()}, heads=2, along=(axis,))[0]
    assert_allclose(again, x, rtol=1e-12)


# What it can see.


def seen(layers, axes, place):
    """Which cells of the input the output at a place depends on, read off the derivatives."""
    torch.manual_seed(1)
    x = torch.randn(*axes, D, dtype=torch.float64, requires_grad=True)
    y = x
    for each in layers:
        y = each(y, need_weights=False)[0]
    (slope,) = torch.autograd.grad((y[place] * torch.randn(D, dtype=torch.float64)).sum(), x)
    return (slope != 0).any(-1).numpy()


@pytest.mark.parametrize("place", [(0, 0), (2, 3), (4, 6)])
def test_what_layers_see(place):
    def stack(*along, summed=False):
        return layer(draw(n=len(along), seed=3)[1], heads=2, along=along, summed=summed)

    row, column = np.zeros((2, H, W), dtype=bool)
    row[place[0]], column[:, place[1]] = True, True
    cross = row | column
    assert cross.sum() == H + W - 1
    assert np.array_equal(seen([stack(ROWS)], (H, W), place), row)
    assert np.array_equal(seen([stack(COLUMNS)], (H, W), place), column)
    assert seen([stack(ROWS, COLUMNS)], (H, W), place).all()
    assert seen([stack(COLUMNS, ROWS)], (H, W), place).all()
    assert np.array_equal(seen([stack(ROWS, ROWS)], (H, W), place), row)
    both = stack(ROWS, COLUMNS, summed=True)
    assert np.array_equal(seen([both], (H, W), place), cross)
    assert seen([both, stack(COLUMNS, ROWS, summed=True)], (H, W), place).all()


@pytest.mark.parametrize("order", list(itertools.permutations((-2, -3, -4))))
def test_three_axes_take_three_layers(order):
    axes, place = (2, 3, 4), (1, 0, 2)
    parameters = draw(axes, n=3, seed=4)[1]
    counts = []
    for n in (1, 2, 3):
        part = {name: array[:n] for name, array in parameters.items()}
        cells = seen([layer(part, heads=2, along=order[:n])], axes, place)
        fixed = [a for a in range(3) if a - 4 not in order[:n]]
        assert np.array_equal(cells, same(axes, fixed)[np.ravel_multi_index(place, axes)].reshape(axes))
        counts.append(cells.sum())
        both = seen([layer(part, heads=2, along=order[:n], summed=True)] * n, axes, place)
        assert np.array_equal(both, cells)  # n summed layers over n axes see as much
    assert counts[-1] == 24


# What it stores.


@pytest.mark.parametrize("summed", [False, True])
def test_no_square_of_all_pixels(summed):
    side, d, heads = 32, 8, 4
    module = AxialAttention(d, heads, summed=summed)
    x = torch.randn(side, side, d, requires_grad=True)
    with Largest() as watch:
        module(x, need_weights=False)[0].sum().backward()
    pixels = side * side
    assert watch.elements <= pixels * d  # nothing beyond arrays of the input's size
    with Largest() as watch:
        module(x)[0].sum().backward()
    assert watch.elements <= heads * pixels * side < pixels**2
    full = MultiHead(d, heads)
    flat = x.reshape(pixels, d)
    with Largest() as watch:
        full(flat, flat, flat)
    assert watch.elements == heads * pixels**2


def test_nothing_is_copied_on_the_way_to_the_kernel():
    """Columns are read where they are: no operation of the fused path copies an array of the input's size."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Copies(TorchDispatchMode):
        found = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            name = str(function)
            self.found += any(part in name for part in ("clone", "copy_", "_to_copy", "contiguous"))
            return function(*args, **(kwargs or {}))

    module = AxialAttention(8, 2, along=(-2, -3, -4))
    x = torch.randn(3, 4, 5, 8)
    with torch.no_grad(), Copies() as watch:
        module(x, need_weights=False)
    assert watch.found == 0


# What it refuses besides the contract's table.


@pytest.mark.parametrize("form", ["NumPy", "PyTorch"])
def test_refuses_axes_that_are_not_there(unhooked, form):
    x, parameters = draw((5,), n=2)
    with pytest.raises(ValueError, match=r"x: wanted the axes along = \(-2, -3\) and features, got shape \(5, 6\)"):
        if form == "NumPy":
            axial_attention(x, **parameters, heads=2, along=(-2, -3))
        else:
            AxialAttention(D, 2)(torch.from_numpy(x).float())
    with pytest.raises(ValueError, match=r"W_Q: wanted a matrix for each axis in along = \(-2,\), got 2"):
        axial_attention(x, **parameters, heads=2, along=(-2,))
