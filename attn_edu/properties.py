"""Predicates that a mechanism may claim.

Each takes ``call(example)``, which runs the NumPy definition and returns its outputs, an `Example`, and a source of
randomness. It returns True or False, or None where the example says nothing about the property.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np

from attn_edu.mechanism import Example

Call = Callable[[Example], tuple[np.ndarray, ...]]


def _with(example: Example, **inputs: np.ndarray) -> Example:
    return replace(example, inputs={**example.inputs, **inputs})


def _weights(call: Call, example: Example) -> tuple[np.ndarray, ...]:
    """Return the attention weights: none, one array, or one for each axis."""
    return call(example)[1:]


def _reordered(example: Example, names: Iterable[str], order: np.ndarray, axis: int) -> dict[str, np.ndarray]:
    """Return the inputs of these names with their rows (axis -2) or entries (axis -1) in a new order."""
    return {name: example.inputs[name].take(order, axis) for name in names if name in example.inputs}


def _all(truths: Iterable[np.ndarray]) -> bool | None:
    verdicts = [bool(np.all(truth)) for truth in truths]
    return all(verdicts) if verdicts else None


def rows_sum_to_one(call: Call, example: Example, rng: np.random.Generator) -> bool | None:
    """Each query's weights sum to one, or are all zero where its mask row is empty."""
    return _all(np.isclose(w.sum(-1), 1, atol=1e-12) | np.all(w == 0, axis=-1) for w in _weights(call, example))


def weights_not_negative(call: Call, example: Example, rng: np.random.Generator) -> bool | None:
    """No weight is negative."""
    return _all(weights >= 0 for weights in _weights(call, example))


def equivariant_to_query_order(call: Call, example: Example, rng: np.random.Generator) -> bool | None:
    """Reordering the queries (in self-attention, the inputs) reorders the outputs alike, causal order aside."""
    if example.options.get("causal"):
        return None
    output = call(example)[0]
    order = rng.permutation(output.shape[-2])
    moving = ("shared", "value") if "shared" in example.inputs else ("x", "query", "previous", "noise", "attn_mask")
    moved = _reordered(example, moving, order, -2) | _reordered(example, ("beta", "choice"), order, -1)
    if "x" in moved and "attn_mask" in moved:
        moved["attn_mask"] = moved["attn_mask"][..., order]
    return bool(np.allclose(call(_with(example, **moved))[0], output[..., order, :], atol=1e-12))


def invariant_to_key_order(call: Call, example: Example, rng: np.random.Generator) -> bool | None:
    """Reordering the key–value pairs leaves the outputs alone, causal order aside."""
    if "key" not in example.inputs or example.options.get("causal"):
        return None
    output = call(example)[0]
    order = rng.permutation(example.inputs["key"].shape[-2])
    moved = _reordered(example, ("key", "value"), order, -2)
    moved |= _reordered(example, ("previous", "noise", "attn_mask"), order, -1)
    if "choice" in example.inputs:  # the chosen keys have new numbers
        moved["choice"] = np.argsort(order)[example.inputs["choice"]]
    return bool(np.allclose(call(_with(example, **moved))[0], output, atol=1e-12))


def causal_when_asked(call: Call, example: Example, rng: np.random.Generator) -> bool | None:
    """With ``causal=True``, no output depends on a later position."""
    names = [name for name in ("x", "shared", "key", "value") if name in example.inputs]
    length = example.inputs[names[0]].shape[-2]
    if not example.options.get("causal") or length < 2:
        return None
    output = call(example)[0]
    for position in range(1, length):
        changed = {name: example.inputs[name].copy() for name in names}
        for array in changed.values():
            array[..., position:, :] += rng.normal(size=array[..., position:, :].shape)
        if not np.array_equal(call(_with(example, **changed))[0][..., :position, :], output[..., :position, :]):
            return False
    return True


def linear_in_values(call: Call, example: Example, rng: np.random.Generator) -> bool | None:
    """For fixed queries and keys the output is linear in the values."""
    if "value" not in example.inputs:
        return None
    value = example.inputs["value"]
    other = rng.normal(size=value.shape)
    both = call(_with(example, value=2 * value - 3 * other))[0]
    apart = 2 * call(example)[0] - 3 * call(_with(example, value=other))[0]
    return bool(np.allclose(both, apart, atol=1e-12))


def largest_on_diagonal(call: Call, example: Example, rng: np.random.Generator) -> bool | None:
    """Each position gives its own input the largest weight."""
    if "x" not in example.inputs or {"key", "attn_mask"} & example.inputs.keys():
        return None
    return _all(np.einsum("...ii->...i", w) == w.max(-1) for w in _weights(call, example))


PROPERTIES = {
    predicate.__name__: predicate
    for predicate in (
        rows_sum_to_one,
        weights_not_negative,
        equivariant_to_query_order,
        invariant_to_key_order,
        causal_when_asked,
        linear_in_values,
        largest_on_diagonal,
    )
}
