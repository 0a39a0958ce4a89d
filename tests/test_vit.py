"""The Vision Transformer against one made of PyTorch's layers with the same weights."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import nn

from attn_edu.models import ViT

SIDE, PATCH, CHANNELS, CLASSES = 6, 2, 3, 7
WIDTH, HEADS, HIDDEN, BLOCKS = 10, 5, 13, 3


class Theirs(nn.Module):
    """A convolution, PyTorch's encoder layers, a linear layer: no line of the package."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(CHANNELS, WIDTH, PATCH, stride=PATCH)
        self.token, self.places = (nn.Parameter(torch.zeros(n, WIDTH)) for n in (1, 10))
        options = {"dropout": 0.0, "activation": "relu", "batch_first": True, "norm_first": True}
        self.layers = nn.ModuleList(nn.TransformerEncoderLayer(WIDTH, HEADS, HIDDEN, **options) for _ in range(BLOCKS))
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, CLASSES)

    def forward(self, x):
        patches = self.conv(x.permute(0, 3, 1, 2)).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), 1, -1), patches], dim=1) + self.places
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x)[:, 0])


def as_theirs(state):
    """Rename and transpose a state of ours, or its gradients."""
    kernel = state["patches.W"].reshape(PATCH, PATCH, CHANNELS, WIDTH).permute(3, 2, 0, 1)
    theirs = {"conv.weight": kernel, "conv.bias": state["patches.b"], "token": state["class_token"][None]}
    theirs |= {"places": state["positions.P"], "norm.weight": state["norm.gain"], "norm.bias": state["norm.bias"]}
    theirs |= {name: state[name] for name in ("head.weight", "head.bias")}
    for n in range(BLOCKS):
        ours = {name[len(f"blocks.{n}.") :]: t for name, t in state.items() if name.startswith(f"blocks.{n}.")}
        stacked = torch.cat([ours[f"attention.{name}"].T for name in ("W_Q", "W_K", "W_V")])
        one = {"self_attn.in_proj_weight": stacked, "self_attn.out_proj.weight": ours["attention.W_O"].T}
        one |= {"self_attn.in_proj_bias": stacked.new_zeros(3 * WIDTH), "self_attn.out_proj.bias": stacked[0] * 0}
        for m in (1, 2):
            one |= {f"linear{m}.weight": ours[f"feed_forward.W_{m}"].T, f"linear{m}.bias": ours[f"feed_forward.b_{m}"]}
            one |= {f"norm{m}.weight": ours[f"norm_{m}.gain"], f"norm{m}.bias": ours[f"norm_{m}.bias"]}
        theirs |= {f"layers.{n}.{name}": tensor for name, tensor in one.items()}
    return theirs


@pytest.fixture
def model():
    """A ViT no parameter of which is trivial."""
    torch.manual_seed(0)
    model = ViT(SIDE, PATCH, CHANNELS, CLASSES, WIDTH, HEADS, HIDDEN, BLOCKS).double()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    return model


@pytest.fixture
def images():
    return torch.from_numpy(np.random.default_rng(1).normal(size=(4, SIDE, SIDE, CHANNELS)))


@pytest.mark.parametrize("need_weights", [True, False])
def test_vit_is_pytorchs(model, images, need_weights):
    theirs = Theirs().double()
    theirs.load_state_dict(as_theirs(model.state_dict()))
    ours_in, theirs_in = images.clone().requires_grad_(), images.clone().requires_grad_()
    logits, maps = model(ours_in, need_weights=need_weights)
    wanted = theirs(theirs_in)
    assert_allclose(logits.detach(), wanted.detach(), rtol=1e-10, atol=1e-12)
    assert (maps is None) != need_weights

    cotangent = torch.linspace(-1, 2, wanted.numel(), dtype=torch.float64).reshape(wanted.shape)
    (logits * cotangent).sum().backward()
    (wanted * cotangent).sum().backward()
    assert_allclose(ours_in.grad, theirs_in.grad, rtol=1e-9, atol=1e-11)
    got = as_theirs({name: parameter.grad for name, parameter in model.named_parameters()})
    for name, parameter in theirs.named_parameters():
        if not name.endswith(("in_proj_bias", "out_proj.bias")):  # ours has none
            assert parameter.grad.abs().max() > 1e-6, name
            assert_allclose(got[name], parameter.grad, rtol=1e-8, atol=1e-10, err_msg=name)


def test_maps_are_pytorchs(model, images):
    theirs = Theirs().double()
    theirs.load_state_dict(as_theirs(model.state_dict()))
    seen = []
    for layer in theirs.layers:
        layer.self_attn.register_forward_pre_hook(lambda layer, x: seen.append((layer, x)))
    theirs.train()(images)  # in training mode, since evaluation may take a path without hooks
    _, maps = model(images)
    assert len(maps) == len(seen) == BLOCKS
    for got, (layer, (x, *_)) in zip(maps, seen, strict=True):
        wanted = nn.MultiheadAttention.forward(layer, x, x, x, average_attn_weights=False)[1]
        assert got.shape == (4, HEADS, 10, 10)
        assert_allclose(got.detach(), wanted.detach(), rtol=1e-9, atol=1e-12)


def test_patches_and_places_may_move_together(model, images):
    """To the blocks an image is a set: shuffle the patches and their positions alike, and the logits stay."""
    order = torch.from_numpy(np.random.default_rng(2).permutation(9))
    squares = images.reshape(4, 3, 2, 3, 2, 3).permute(0, 1, 3, 2, 4, 5).reshape(4, 9, 2, 2, 3)
    shuffled = squares[:, order].reshape(4, 3, 3, 2, 2, 3).permute(0, 1, 3, 2, 4, 5).reshape(images.shape)
    logits = model(images)[0].detach()
    assert not torch.allclose(model(shuffled)[0], logits)
    with torch.no_grad():
        model.positions.P[1:] = model.positions.P[1:][order]
    assert_allclose(model(shuffled)[0].detach(), logits, rtol=1e-10, atol=1e-12)


def test_any_batch(model, images):
    logits, maps = model(images)
    assert torch.allclose(model(images[0])[0], logits[0])
    assert torch.allclose(model(images.reshape(2, 2, SIDE, SIDE, CHANNELS))[0], logits.reshape(2, 2, -1))
    assert model(images[:0])[0].shape == (0, CLASSES)
    assert torch.allclose(model(images[2])[1][1], maps[1][2])


REFUSED = {
    "side": (ValueError, "side: wanted an integer of at least 1, got 0", {"side": 0}),
    "patch": (ValueError, "patch: wanted a divisor of side = 6, got 4", {"patch": 4}),
    "channels": (TypeError, "channels: wanted an integer, got float", {"channels": 3.0}),
    "classes": (ValueError, "classes: wanted an integer", {"classes": 0}),
    "heads": (ValueError, "heads: wanted a divisor of d_model = 10, got 3", {"heads": 3}),
    "d_hidden": (ValueError, "d_hidden: wanted an integer", {"d_hidden": 0}),
    "blocks": (TypeError, "blocks: wanted an integer, got str", {"blocks": "2"}),
}


@pytest.mark.parametrize(("error", "message", "changed"), REFUSED.values(), ids=REFUSED)
def test_refuses(unhooked, error, message, changed):
    sizes = {"side": SIDE, "patch": PATCH, "channels": CHANNELS, "classes": CLASSES}
    sizes |= {"d_model": WIDTH, "heads": HEADS, "d_hidden": HIDDEN, "blocks": BLOCKS}
    with pytest.raises(error, match=message):
        ViT(**sizes | changed)


BAD_IMAGES = {
    "larger": (ValueError, "x: wanted images of 6 × 6, got 8 × 8", torch.zeros(1, 8, 8, 3)),
    "oblong": (ValueError, "x: wanted images of 6 × 6, got 4 × 10", torch.zeros(1, 4, 10, 3)),
    "odd": (ValueError, "x: wanted .* multiples of patch = 2, got 7 × 6", torch.zeros(1, 7, 6, 3)),
    "channels first": (ValueError, "got 3 × 6", torch.zeros(1, 3, 6, 6)),
    "grey": (ValueError, "patch · patch · channels = 4 rows, .* got 12", torch.zeros(1, 6, 6, 1)),
    "bytes": (TypeError, "x: wanted floating-point", torch.zeros(1, 6, 6, 3, dtype=torch.uint8)),
    "single": (TypeError, "dtype torch.float32 as in x", torch.zeros(1, 6, 6, 3, dtype=torch.float32)),
    "array": (TypeError, "x: wanted a torch.Tensor", np.zeros((1, 6, 6, 3))),
}


@pytest.mark.parametrize(("error", "message", "x"), BAD_IMAGES.values(), ids=BAD_IMAGES)
def test_refuses_images(unhooked, model, error, message, x):
    x = x.double() if isinstance(x, torch.Tensor) and x.dtype == torch.float32 and "float32" not in message else x
    with pytest.raises(error, match=message):
        model(x)
