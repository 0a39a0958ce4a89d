"""A softmax over the keys near a place, gathered or among all: what local-m and local-p run in PyTorch."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from attn_edu import torch_ops


def take_windows(x: Float[Tensor, "*batch S d"], places: Int[Tensor, "*batch L n"]) -> Float[Tensor, "*batch L n d"]:
    """Gather the rows at the n places of each of L windows.

    Examples
    --------
    >>> take_windows(torch.tensor([[5.0], [6.0], [7.0]]), torch.tensor([[0, 1], [1, 2]])).squeeze(-1)
    tensor([[5., 6.],
            [6., 7.]])
    """
    rows = places.flatten(-2).unsqueeze(-1)
    return x.gather(-2, rows.expand(*rows.shape[:-1], x.shape[-1])).unflatten(-2, places.shape[-2:])


def attend_near(
    query: Float[Tensor, "*batch L d_key"],
    key: Float[Tensor, "*batch S d_key"],
    value: Float[Tensor, "*batch S d_v"],
    centre: Float[Tensor, "*batch L"],
    D: int,
    attn_mask: Bool[Tensor, "..."] | None,
    need_weights: bool,
    sigma: float | None = None,
) -> tuple[Float[Tensor, "*batch L d_v"], Float[Tensor, "*batch L S"] | None]:
    """Attend from query t to the keys at most D from ``centre[t]``; if asked, times a Gaussian about the centre.

    Without weights, only the keys of the windows are scored: L × (2D + 1), not L × S.

    Parameters
    ----------
    query, key, value : (..., L, d_key), (..., S, d_key), (..., S, d_v)
        Already checked; queries are multiplied by W_a.
    centre : (..., L), in single precision at least
        The place that each query looks at; the first key is at 0.
    D : int
        Half of the window's width.
    attn_mask : bool tensor that broadcasts to (..., L, S), or None
        True where query t may attend to key s, besides the window.
    need_weights : bool
        Whether to return the L×S weights.
    sigma : float, optional
        Standard deviation of the Gaussian; None for no Gaussian.

    Returns
    -------
    output : (..., L, d_v)
    weights : (..., L, S), or None

    Examples
    --------
    Around place 1 and one to each side: keys 0, 1 and 2, of equal score.

    >>> zero, value = torch.zeros(4, 1), torch.tensor([[3.0], [6.0], [9.0], [70.0]])
    >>> attend_near(zero[:1], zero, value, torch.tensor([1.0]), 1, None, False)[0]
    tensor([[6.]])
    """
    keys, device = key.shape[-2], query.device
    shape = (*query.shape[:-1], keys)
    allowed = torch_ops.may_attend(attn_mask, False, shape, device)
    gathered = not need_weights and keys > 2 * D + 1
    if gathered:
        places = centre.floor().long().unsqueeze(-1) + torch.arange(-D, D + 1, device=device)
        inside = (places >= 0) & (places < keys)
        rows = places.clamp(0, keys - 1).expand(*query.shape[:-1], 2 * D + 1)
        key, value = take_windows(key, rows), take_windows(value, rows)  # (..., L, 2D + 1, d)
        query = query.unsqueeze(-2)  # one row for each window
        allowed = inside if allowed is None else inside & allowed.expand(shape).gather(-1, rows)
    else:
        places = torch.arange(keys, device=device)
    scores = query @ key.mT
    scores = scores.squeeze(-2) if gathered else scores
    offset = places - centre.unsqueeze(-1)
    near = offset.abs() <= D
    weights = torch_ops.masked_softmax(scores, near if allowed is None else near & allowed)
    if sigma is not None:
        weights = weights * torch.exp(-(offset**2) / (2 * sigma**2)).to(weights.dtype)
    if gathered:
        return (weights.unsqueeze(-2) @ value).squeeze(-2), None
    return weights @ value, weights if need_weights else None
