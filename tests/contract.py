"""The contract that every mechanism passes: one function a clause, each raising an AssertionError that says why.

`test_contract.py` runs every clause on every mechanism; `test_planted_faults.py` plants faults and wants each caught by
the clause that is there for it.
"""

import contextlib
import copy
import doctest
import inspect
import io
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jaxtyping
import numpy as np
import pytest
import torch

from attn_edu._blocked_attention import ByDevice
from attn_edu.mechanism import RETURNS, Example, Mechanism, Sizes
from attn_edu.properties import PROPERTIES

LENGTHS = (1, 5, 17)
MOST_PLACES = 300  # entries of one array whose finite differences are taken; drawn where there are more
CPU = torch.device("cpu")
ROOT = Path(__file__).parents[1]


def examples(mechanism: Mechanism, sizes: Sizes = Sizes(), seed: int = 0) -> dict[str, Example]:
    return mechanism.examples(np.random.default_rng(seed), sizes)


def all_lengths(mechanism: Mechanism, case: str, seeds: int = 1) -> Iterator[Example]:
    for length in LENGTHS:
        for seed in range(seeds):
            yield examples(mechanism, Sizes(L=length), seed)[case]


def floats(example: Example) -> dict[str, np.ndarray]:
    """All arrays that can be differentiated: float inputs and parameters."""
    arrays = {**example.inputs, **example.parameters}
    dead = {name for name in arrays if name.startswith("running_") and example.training}  # kept for evaluation
    return {name: array for name, array in arrays.items() if array.dtype.kind == "f" and name not in dead}


def changed(example: Example, **arrays: np.ndarray) -> Example:
    inputs = {name: arrays.get(name, array) for name, array in example.inputs.items()}
    parameters = {name: arrays.get(name, array) for name, array in example.parameters.items()}
    return replace(example, inputs=inputs, parameters=parameters)


def mode(example: Example) -> dict[str, bool]:
    """The keyword that says training or evaluation to a NumPy function for which they differ."""
    return {} if example.training is None else {"training": example.training}


def flat(mechanism: Mechanism, result: Any) -> tuple[Any, ...]:
    """Lay the results in a row; weights may be several arrays, one for each axis."""
    result = result if isinstance(result, tuple) else (result,)
    assert len(result) == len(RETURNS[mechanism.kind]), f"wanted {RETURNS[mechanism.kind]}, got {len(result)} results"
    return tuple(part for one in result for part in (one if isinstance(one, tuple) else (one,)))


def named(mechanism: Mechanism, results: tuple[Any, ...]) -> list[str]:
    """Say what each of the flat results is."""
    names = RETURNS[mechanism.kind]
    more = len(results) - len(names)
    return [*names[:1], *[f"weights {n}" for n in range(more + 1)], *names[2:]] if more else [*names]


def heard(mechanism: Mechanism, results: tuple[Any, ...]) -> tuple[Any, ...]:
    """The results in which a change must be heard: the output, or, where the choice is given, all, odds included."""
    return results if mechanism.kind == "sampled" else results[:1]


def run_numpy(mechanism: Mechanism, example: Example) -> tuple[np.ndarray, ...]:
    arguments = {**example.inputs, **example.parameters, **example.options, **mode(example)}
    return flat(mechanism, mechanism.reference(**arguments))


def to_torch(array: np.ndarray, dtype: torch.dtype = torch.float64, device: torch.device = CPU) -> torch.Tensor:
    tensor = torch.from_numpy(array.copy())
    return tensor.to(device=device, dtype=dtype if tensor.is_floating_point() else tensor.dtype)


def build(
    mechanism: Mechanism, example: Example, dtype: torch.dtype = torch.float64, device: torch.device = CPU
) -> Any:
    module = mechanism.module(**example.options, **example.widths)
    state = {name: to_torch(array, dtype) for name, array in example.parameters.items()}
    module.to(dtype)
    assert set(module.state_dict()) == set(state), "the NumPy keywords must be the names in the state_dict"
    module.load_state_dict(state)
    return module.to(device).train(example.training is not False)


def takes_need_weights(mechanism: Mechanism) -> bool:
    return "need_weights" in inspect.signature(mechanism.module.forward).parameters


def asked(mechanism: Mechanism, need_weights: bool | None) -> dict[str, bool]:
    """The keyword that asks for weights; where forward does not take it, `record_is_whole` says so, and nobody else."""
    if need_weights is not None and not takes_need_weights(mechanism):
        pytest.skip("forward takes no need_weights, as record_is_whole says")
    return {} if need_weights is None else {"need_weights": need_weights}


def run_torch(
    mechanism: Mechanism,
    example: Example,
    dtype: torch.dtype = torch.float64,
    device: torch.device = CPU,
    gradient: bool = False,
    need_weights: bool | None = None,
) -> tuple[tuple[torch.Tensor | None, ...], dict[str, torch.Tensor]]:
    """Run the module; return its results and the leaf tensors by name."""
    module = build(mechanism, example, dtype, device)
    inputs = {name: to_torch(array, dtype, device) for name, array in example.inputs.items()}
    leaves = {name: tensor for name, tensor in inputs.items() if tensor.is_floating_point()}
    for tensor in leaves.values():
        tensor.requires_grad_(gradient)
    # A buffer is not trained, and yet its gradient must be the definition's.
    state = dict((*module.named_parameters(), *module.named_buffers()))
    live = floats(example)
    leaves |= {name: tensor.requires_grad_(gradient) for name, tensor in state.items() if name in live}
    result = module(**inputs, **asked(mechanism, need_weights))
    return flat(mechanism, result), leaves


def slope(leaf: torch.Tensor) -> torch.Tensor:
    """The gradient that a leaf got. None is 0: what only chooses, such as a hash, has no slope anywhere."""
    return torch.zeros_like(leaf) if leaf.grad is None else leaf.grad


def against(mechanism: Mechanism, got: tuple[Any, ...], example: Example) -> tuple[Any, ...]:
    """Names, results and NumPy's results, side by side."""
    wanted = run_numpy(mechanism, example)
    return named(mechanism, wanted), got, wanted


def assert_close(got: Any, wanted: np.ndarray, what: str, rtol: float = 1e-10, atol: float = 1e-12) -> None:
    got = got.detach().cpu().double().numpy() if isinstance(got, torch.Tensor) else got
    assert got.shape == wanted.shape, f"{what}: shape {got.shape}, wanted {wanted.shape}"
    np.testing.assert_allclose(got, wanted, rtol=rtol, atol=atol, err_msg=what)


# Clauses ------------------------------------------------------------------------------------------------------------


def record_is_whole(mechanism: Mechanism) -> None:
    """The record says all that the other clauses ask of it, and what it names is there; all that lacks is told."""
    lacks = []
    if mechanism.kind not in RETURNS:
        lacks.append(f"kind: wanted one of {', '.join(RETURNS)}, got {mechanism.kind!r}")
    if mechanism.kind == "attention":
        asks = inspect.signature(mechanism.module.forward).parameters.get("need_weights")
        if asks is None or asks.default is not True:
            lacks.append(f"{mechanism.module.__name__}.forward: wanted a last argument need_weights=True")
        if mechanism.recompose is None:
            lacks.append("recompose: wanted a function that makes the output from the weights")
    options = {name for example in examples(mechanism).values() for name in (*example.options, *example.widths)}
    lacks += [
        f"refuses: says nothing of {name}; wanted bad values, each to raise an error that names it"
        for name in sorted(options - set(mechanism.refuses))
    ]
    lacks += [
        f"properties: no claim for {name}; wanted it under holds, fails or does_not_apply"
        for name in PROPERTIES
        if name not in mechanism.properties
    ]
    lacks += [
        f"properties: there is no {name} in attn_edu/properties.py"
        for name in mechanism.properties
        if name not in PROPERTIES
    ]
    if f"{{{mechanism.citation}," not in (ROOT / "references.bib").read_text():
        lacks.append(f"citation: {mechanism.citation} is not in references.bib; add it there")
    if not (ROOT / f"{mechanism.chapter}.ipynb").exists():
        lacks.append(f"chapter: there is no {mechanism.chapter}.ipynb; name the nearest chapter, without its ending")
    file = Path(inspect.getfile(mechanism.module))
    if file.name != f"_{mechanism.name}.py":
        lacks.append(f"the file: wanted _{mechanism.name}.py, after the NumPy function, got {file.name}")
    if not hasattr(sys.modules[f"attn_edu.{mechanism.family}"], mechanism.module.__name__):
        lacks.append(f"{mechanism.module.__name__}: not exported; add it to attn_edu/{mechanism.family}/__init__.py")
    assert not lacks, f"{mechanism.family}/{file.name}:\n" + "\n".join(lacks)


def forms_share_no_code(mechanism: Mechanism) -> None:
    """The NumPy definition calls no torch, and the module no NumPy."""
    definition, module = inspect.getsource(mechanism.reference), inspect.getsource(mechanism.module)
    code = definition.split('"""')[-1]
    assert "torch" not in code and "nn." not in code, f"{mechanism.name}: the NumPy definition uses PyTorch"
    assert "np." not in module.split('"""')[-1], f"{mechanism.module.__name__}: the module uses NumPy"


def documented(mechanism: Mechanism) -> None:
    """Each form says what it takes, returns and raises, where it comes from, and works an example by hand."""
    lacks = []
    for thing in (mechanism.reference, mechanism.module):
        doc = inspect.getdoc(thing) or ""
        parameters = inspect.signature(thing).parameters.values()
        takes = [p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        wanted = ["Examples", *(["Parameters", "Raises"] if takes else [])]
        wanted += ["Returns", "References"] if thing is mechanism.reference else []
        lacks += [
            f"{thing.__qualname__}: the docstring has no section {section}"
            for section in wanted
            if f"{section}\n---" not in doc
        ]
        if ">>>" not in doc.partition("Examples\n---")[2]:
            lacks.append(f"{thing.__qualname__}: no example worked by hand, with >>>, under Examples")
        lacks += [f"{thing.__qualname__}: {name} is not described" for name in takes if name not in doc]
    assert not lacks, "\n".join(lacks)


def liveness(mechanism: Mechanism, case: str) -> None:
    """Every parameter and float input changes the output, in both forms, so that no fault hides behind a dead one."""
    example = examples(mechanism)[case]
    rng = np.random.default_rng(1)
    before, before_torch = run_numpy(mechanism, example), run_torch(mechanism, example)[0]
    for name, array in floats(example).items():
        moved = changed(example, **{name: array + rng.normal(size=array.shape)})
        pairs = zip(heard(mechanism, run_numpy(mechanism, moved)), before, strict=False)
        assert not all(np.allclose(a, b) for a, b in pairs), f"{name} does not change the NumPy output"
        pairs = zip(heard(mechanism, run_torch(mechanism, moved)[0]), before_torch, strict=False)
        assert not all(torch.allclose(a, b) for a, b in pairs), f"{name} does not change the PyTorch output"


def options_live(mechanism: Mechanism, case: str) -> None:
    """Every option and mask of the example changes the result."""
    example = examples(mechanism)[case]
    before = run_numpy(mechanism, example)
    required = inspect.signature(mechanism.reference).parameters
    for name in example.options:
        if required[name].default is inspect.Parameter.empty:
            continue  # there is no call without it to compare with
        without = replace(example, options={key: value for key, value in example.options.items() if key != name})
        after = run_numpy(mechanism, without)
        assert any(not np.array_equal(a, b) for a, b in zip(before, after, strict=True)), f"option {name} is dead"
    if "attn_mask" in example.inputs:
        without = replace(example, inputs={**example.inputs, "attn_mask": np.ones_like(example.inputs["attn_mask"])})
        assert not np.allclose(run_numpy(mechanism, without)[0], before[0]), "attn_mask is dead"


def matches_numpy(mechanism: Mechanism, case: str, device: torch.device = CPU) -> None:
    """PyTorch equals NumPy in double precision, every result, at several lengths."""
    for example in all_lengths(mechanism, case):
        got = run_torch(mechanism, example, device=device)[0]
        for name, a, b in zip(*against(mechanism, got, example), strict=True):
            assert a.dtype == torch.float64, f"{name}: came as {a.dtype}, wanted float64"
            assert_close(a, b, f"{name} of PyTorch and NumPy")


def matches_any_batch(mechanism: Mechanism, case: str) -> None:
    """Without batch axes, with two, and with an empty one; with no keys or queries left; with memory in any order."""
    for sizes in (Sizes(batch=()), Sizes(batch=(2, 3)), Sizes(batch=(0,)), Sizes(L=0), Sizes(S=0)):
        if mechanism.kind == "sampled" and not sizes.S:
            continue  # there is nothing to choose
        example = examples(mechanism, sizes)[case]
        got = run_torch(mechanism, example)[0]
        for name, a, b in zip(*against(mechanism, got, example), strict=True):
            assert_close(a, b, f"{name} at {sizes}")
        if mechanism.kind == "attention":
            output = run_torch(mechanism, example, need_weights=False)[0][0]
            assert_close(output, got[0].detach().numpy(), f"output without weights at {sizes}")
    example = examples(mechanism)[case]
    strided = {name: to_torch(array).mT.contiguous().mT for name, array in example.inputs.items()}
    output = build(mechanism, example)(**strided)
    output = output[0] if isinstance(output, tuple) else output
    assert_close(output, run_numpy(mechanism, example)[0], "output of strided inputs")


def mask_broadcasts(mechanism: Mechanism, case: str) -> None:
    """A mask may come with fewer axes, with ones, or one for each batch element."""
    example = examples(mechanism)[case]
    if "attn_mask" not in example.inputs:
        return
    mask = example.inputs["attn_mask"]
    weights = run_numpy(mechanism, example)[1]
    each = np.broadcast_to(mask, weights.shape).copy()
    each[0] = ~each[0]
    for form in (mask[0], mask[:, :1], mask[:1], mask[None], each):
        masked = changed(example, attn_mask=form)
        full = changed(example, attn_mask=np.broadcast_to(form, weights.shape).copy())
        wanted = run_numpy(mechanism, full)
        for need_weights in (True, False):
            got = run_torch(mechanism, masked, need_weights=need_weights)[0]
            assert_close(got[0], wanted[0], f"output with a mask of shape {form.shape}, need_weights={need_weights}")
        assert_close(run_numpy(mechanism, masked)[0], wanted[0], f"NumPy output with a mask of shape {form.shape}")


def gradients(mechanism: Mechanism, case: str, device: torch.device = CPU) -> None:
    """Autograd equals central differences of the NumPy function, for random cotangents on every result."""
    example = examples(mechanism)[case]
    rng = np.random.default_rng(2)
    results = run_numpy(mechanism, example)
    cotangents = [rng.normal(size=result.shape) for result in results]

    def loss(moved: Example) -> float:
        return sum(float(np.sum(c * r)) for c, r in zip(cotangents, run_numpy(mechanism, moved), strict=True))

    got, leaves = run_torch(mechanism, example, device=device, gradient=True)
    total = sum((to_torch(c, device=device) * r).sum() for c, r in zip(cotangents, got, strict=True))
    total.backward()
    step = 1e-5
    for name, array in floats(example).items():
        gradient = slope(leaves[name])
        assert gradient.shape == array.shape, f"gradient of {name}: shape {tuple(gradient.shape)}, wanted {array.shape}"
        places = list(np.ndindex(array.shape))
        if len(places) > MOST_PLACES:
            places = [places[i] for i in rng.choice(len(places), MOST_PLACES, replace=False)]
        for index in places:
            ends = []
            for sign in (1, -1):
                moved = array.copy()
                moved[index] += sign * step
                ends.append(loss(changed(example, **{name: moved})))
            difference = (ends[0] - ends[1]) / (2 * step)
            assert difference == 0 or leaves[name].grad is not None, f"no gradient reaches {name}"
            place = f"gradient of {name} at {index}"
            np.testing.assert_allclose(gradient[index].item(), difference, rtol=1e-6, atol=1e-6, err_msg=place)


def weights_mean_what_they_say(mechanism: Mechanism, case: str) -> None:
    """The output can be rebuilt from the weights that came with it, in both forms."""
    if mechanism.recompose is None:
        pytest.skip("there is no recompose, as record_is_whole says")
    for example in all_lengths(mechanism, case):
        arrays = {**example.inputs, **example.parameters}
        named_options = inspect.signature(mechanism.recompose).parameters.keys() & example.options.keys()
        options = {name: example.options[name] for name in named_options}
        for form, results in (
            ("NumPy", run_numpy(mechanism, example)),
            ("PyTorch", [r.detach().numpy() for r in run_torch(mechanism, example)[0]]),
        ):
            arrays.pop("weights", None)
            weights = results[1] if len(results) == 2 else tuple(results[1:])
            rebuilt = mechanism.recompose(weights, **arrays, **options)
            assert_close(results[0], rebuilt, f"output rebuilt from the {form} weights")


def masked_weights_are_zero(mechanism: Mechanism, case: str) -> None:
    """A forbidden key has weight exactly 0; a row with none allowed has only zeros, output included."""
    example = examples(mechanism)[case]
    if "attn_mask" not in example.inputs:
        return
    mask = example.inputs["attn_mask"]
    for form, results in (
        ("NumPy", run_numpy(mechanism, example)),
        ("PyTorch", [r.detach().numpy() for r in run_torch(mechanism, example)[0]]),
    ):
        forbidden = np.broadcast_to(~mask, results[1].shape)
        assert np.all(results[1][forbidden] == 0), f"{form}: a key that the mask forbids has a weight"
    empty = np.zeros_like(mask)
    for need_weights in (True, False):
        output = run_torch(mechanism, changed(example, attn_mask=empty), need_weights=need_weights)[0][0]
        assert torch.all(output == 0), f"empty rows give an output, need_weights={need_weights}"


def worked_by_hand(mechanism: Mechanism) -> None:
    """The numbers worked by hand in both docstrings come out: two forms by one author may share his mistake."""
    for thing in (mechanism.reference, mechanism.module):
        names = sys.modules[mechanism.reference.__module__].__dict__
        for test in doctest.DocTestFinder(recurse=False).find(inspect.unwrap(thing), thing.__name__, globs=dict(names)):
            output: list[str] = []
            failed, tried = doctest.DocTestRunner(verbose=False).run(test, out=output.append)
            assert tried, f"{thing.__name__} has no example worked by hand: write one with >>> in its docstring"
            assert not failed, f"{thing.__name__}: the example worked by hand gives something else\n{''.join(output)}"


def property_claims(mechanism: Mechanism) -> None:
    """What is claimed to hold holds in every example, what is to fail fails in one, and the rest never speaks."""
    kept = -1 if RETURNS[mechanism.kind][-1] in ("state", "log_prob") else None  # the predicates know weights only
    wrong = []
    for name, claim in mechanism.properties.items():
        if name not in PROPERTIES:
            continue  # `record_is_whole` tells
        verdicts = [
            PROPERTIES[name](lambda e: run_numpy(mechanism, e)[:kept], example, np.random.default_rng(3))
            for case in examples(mechanism)
            for example in all_lengths(mechanism, case, seeds=3)
        ]
        spoken = [verdict for verdict in verdicts if verdict is not None]
        if claim.verdict == "does not apply":
            if not claim.reason:
                wrong.append(f"{name}: say why it does not apply")
            if spoken:
                wrong.append(f"{name}: claimed not to apply, but the examples decide it")
        elif claim.verdict == "holds":
            if not spoken or not all(spoken):
                wrong.append(f"{name}: claimed to hold, but it does not in some example, or none shows it")
        elif False not in spoken:
            wrong.append(f"{name}: claimed to fail, but no example shows it")
    assert not wrong, "\n".join(wrong)


def _span(length: int | float) -> tuple[str, float]:
    return "uniform", length**-0.5


# Where a fresh parameter departs from what `begins_as_said` says of all: from its own shape and the module, its start.
STARTS: dict[str, dict[str, Callable[[torch.Tensor, Any], tuple[str, float]]]] = {
    "re_attention": {"Theta": lambda p, m: ("identity", 0.1)},
    "causal_convolution": dict.fromkeys("Wb", lambda p, m: _span(m.W.shape[0] * m.W.shape[1])),
    "learned_positions": {"P": lambda p, m: ("normal", 0.1)},
    "quadratic_attention": {"alpha": lambda p, m: ("constant", 1), "centres": lambda p, m: ("normal", 1)},
    "lsh_attention": {"rotations": lambda p, m: ("normal", 1)},
    "lstmn": dict.fromkeys(("W_h", "W_x", "W_ht", "v", "W", "b"), lambda p, m: _span(m.W_h.shape[1])),
    "lstmn_deep_fusion": dict.fromkeys(
        ("W_h", "U_h", "W_x", "U_x", "W_ht", "U_ht", "v", "u", "W", "b", "W_r", "b_r"),
        lambda p, m: _span(m.W_r.shape[0]),
    ),
    "soft_attention": {"b_beta": lambda p, m: ("constant", 0)},
}


def _start(mechanism: Mechanism, name: str, tensor: torch.Tensor, module: Any) -> tuple[str, float]:
    if name in STARTS.get(mechanism.name, {}):
        return STARTS[mechanism.name][name](tensor, module)
    if name in ("gain", "running_var"):
        return "constant", 1
    if name in ("b", "b_1", "b_2", "bias", "running_mean"):
        return "constant", 0
    return _span(sum(tensor.shape[-2:]) / 6) if tensor.ndim > 1 else _span(len(tensor))


def begins_as_said(mechanism: Mechanism) -> None:
    """A fresh matrix is Glorot-uniform, a bias 0, a gain 1, another vector within ±1/√length; or as `STARTS` says.

    And an array that the NumPy function need not be given is the fresh one where it is not.
    """
    optional = inspect.signature(mechanism.reference).parameters
    for example in examples(mechanism).values():
        fresh = mechanism.module(**example.options, **example.widths).double().state_dict()
        for name in example.parameters:
            if optional[name].default is None and not name.startswith("running_"):
                rest = {key: array for key, array in example.parameters.items() if key != name}
                without = run_numpy(mechanism, replace(example, parameters=rest))
                for a, b in zip(
                    without, run_numpy(mechanism, changed(example, **{name: fresh[name].numpy()})), strict=True
                ):
                    assert_close(a, b, f"without {name}")
        torch.use_deterministic_algorithms(True)  # fills memory that nobody wrote to with NaN
        try:
            modules = []
            for seed in range(60):
                torch.manual_seed(seed)
                modules.append(mechanism.module(**example.options, **example.widths))
        finally:
            torch.use_deterministic_algorithms(False)
        drawn = {name for name, _ in modules[0].named_parameters()} | set(STARTS.get(mechanism.name, {}))
        for name in drawn:
            tensors = [module.state_dict()[name] for module in modules]
            kind, size = _start(mechanism, name, tensors[0], modules[0])
            numbers = torch.stack(tensors).double()
            what = f"a fresh {name}: wanted {kind} {size:.3g}, got numbers between {numbers.min()} and {numbers.max()}"
            if kind == "constant":
                assert torch.all(numbers == size), what
            elif kind == "uniform":
                assert -size * (1 + 1e-6) <= numbers.min() < -0.95 * size, what
                assert 0.95 * size < numbers.max() <= size * (1 + 1e-6), what
            else:
                numbers = numbers - torch.eye(numbers.shape[-1]) if kind == "identity" else numbers
                assert abs(numbers.mean()) < 0.15 * size, what
                assert 0.85 * size < numbers.std() < 1.15 * size, what


@contextlib.contextmanager
def holding(entries: int | None) -> Iterator[None]:
    """Let all that goes block by block hold so many entries at a time; None leaves it as it is."""
    found = [value for name, module in sys.modules.items() if "attn_edu" in name for value in vars(module).values()]
    limits = [value for value in found if isinstance(value, ByDevice)]
    before = [dict(limit) for limit in limits]
    for limit in limits:
        limit.update(dict.fromkeys(limit, entries) if entries else {})
    try:
        yield
    finally:
        for limit, kept in zip(limits, before, strict=True):
            limit.update(kept)


def fused_matches_explicit(mechanism: Mechanism, case: str, device: torch.device = CPU) -> None:
    """need_weights=False changes nothing but the weights, which become None: output and gradients agree.

    So they do when little may be held at a time, and there are many blocks where one would have done.
    """
    for example in all_lengths(mechanism, case):
        sides = []
        for need_weights, entries in ((True, None), (False, None), (False, 1), (False, 60)):
            with holding(entries):
                result, leaves = run_torch(mechanism, example, device=device, gradient=True, need_weights=need_weights)
                cotangent = torch.linspace(-1, 2, result[0].numel(), dtype=torch.float64, device=device)
                (result[0].flatten() * cotangent).sum().backward()
            sides.append((result, leaves))
        (explicit, leaves), *others = sides
        assert explicit[1] is not None, "need_weights=True returned no weights"
        for fused, fused_leaves in others:
            assert fused[1] is None, "need_weights=False returned weights"
            assert_close(fused[0], explicit[0].detach().cpu().numpy(), "fused output", rtol=1e-9, atol=1e-11)
            for name, leaf in leaves.items():
                wanted = slope(leaf).detach().cpu().numpy()
                assert_close(slope(fused_leaves[name]), wanted, f"fused gradient of {name}", rtol=1e-8, atol=1e-10)


def steps_match_whole(mechanism: Mechanism, case: str) -> None:
    """What is recurrent gives place by place, with `step`, the outputs, weights and state of the whole."""
    example = examples(mechanism)[case]
    if mechanism.kind != "recurrent" or "attn_mask" in example.inputs:
        return  # a step has no mask
    module = build(mechanism, example)
    inputs = {name: to_torch(array) for name, array in example.inputs.items()}
    output, *weights, whole = flat(mechanism, module(**inputs))
    x, state = inputs.pop("x"), whole[..., :0, :, :]
    for t in range(x.shape[-2]):
        step = flat(mechanism, module.step(x[..., t, :], *inputs.values(), state))
        state = step[-1]
        assert_close(step[0], output[..., t, :].detach().numpy(), f"output of step {t}")
        for row, rows in zip(step[1:-1], weights, strict=True):
            assert_close(row, rows[..., t, : row.shape[-1]].detach().numpy(), f"weights of step {t}")
    assert_close(state, whole.detach().numpy(), "state after all steps")


def inputs_unchanged(mechanism: Mechanism, case: str) -> None:
    """Neither form writes into what it is given, nor do its results share the inputs' memory."""
    example = examples(mechanism)[case]
    kept = copy.deepcopy(example)
    results = run_numpy(mechanism, example)
    for name, array in {**example.inputs, **example.parameters}.items():
        wanted = {**kept.inputs, **kept.parameters}[name]
        assert np.array_equal(array, wanted), f"the NumPy function changed {name}"
        assert not any(np.shares_memory(array, result) for result in results), f"a NumPy result is a view of {name}"
    module = build(mechanism, example)
    inputs = {name: to_torch(array) for name, array in example.inputs.items()}
    copies = {name: tensor.clone() for name, tensor in inputs.items()}
    for need_weights in (True, False) if mechanism.kind == "attention" else (None,):
        module(**inputs, **asked(mechanism, need_weights))
        for name, tensor in inputs.items():
            assert torch.equal(tensor, copies[name]), f"forward changed {name}"
        for name, tensor in module.state_dict().items():
            kept_up = bool(example.training) and name.startswith("running_")  # that is what they are for
            same = torch.equal(tensor, to_torch(example.parameters[name]))
            assert same != kept_up, f"forward {'left' if kept_up else 'changed'} {name}"


def state_survives(mechanism: Mechanism, case: str) -> None:
    """A state_dict that went through a file gives the same output in a fresh module; so does a deep copy."""
    example = examples(mechanism)[case]
    module = build(mechanism, example)
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    fresh = mechanism.module(**example.options, **example.widths).double()
    fresh.load_state_dict(torch.load(file))
    fresh.train(example.training is not False)
    inputs = {name: to_torch(array) for name, array in example.inputs.items()}
    for other in (fresh, copy.deepcopy(module)):
        assert torch.equal(other(**inputs)[0], module(**inputs)[0]), "the output changed with the state's journey"


def deterministic(mechanism: Mechanism, case: str) -> None:
    """Same seed, same parameters; same input, same output, in training and in evaluation; no randomness drawn."""
    example = examples(mechanism)[case]
    states = []
    for _ in range(2):
        torch.manual_seed(7)
        states.append(mechanism.module(**example.options, **example.widths).state_dict())
    for name in states[0]:
        assert torch.equal(states[0][name], states[1][name]), f"{name} differs under the same seed"
    module = build(mechanism, example)
    inputs = {name: to_torch(array) for name, array in example.inputs.items()}
    before = torch.get_rng_state()
    first = module(**inputs)[0]
    assert torch.equal(first, module(**inputs)[0]), "two calls differ"
    other = module.train(not module.training)(**inputs)[0]
    if example.training is None:
        assert torch.equal(first, other), "training and evaluation differ"
    else:
        assert not torch.allclose(first, other), "training and evaluation are said to differ, and do not"
    assert torch.equal(before, torch.get_rng_state()), "forward draws random numbers"


def rounded(example: Example, dtype: torch.dtype) -> Example:
    """Let all numbers be such as a lower precision has."""
    return changed(example, **{n: to_torch(a).to(dtype).double().numpy() for n, a in floats(example).items()})


def cost_of_rounding(mechanism: Mechanism, example: Example, dtype: torch.dtype, seed: int = 4) -> list[float]:
    """How far rounding the inputs alone moves each result of the definition: the most of eight tries."""
    rng, eps, wanted = np.random.default_rng(seed), torch.finfo(dtype).eps, run_numpy(mechanism, example)
    cost = [eps * np.abs(result).max(initial=0) for result in wanted]
    for _ in range(8):
        noisy = changed(example, **{n: a * (1 + eps * rng.normal(size=a.shape)) for n, a in floats(example).items()})
        errors = [np.abs(a - b).max(initial=0) for a, b in zip(run_numpy(mechanism, noisy), wanted, strict=True)]
        cost = [max(a, e) for a, e in zip(cost, errors, strict=True)]
    return cost


def precision(mechanism: Mechanism, case: str, device: torch.device = CPU) -> None:
    """In low precision the error stays within a small multiple of what rounding the inputs alone costs."""
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        example = rounded(examples(mechanism)[case], dtype)
        wanted, allowed = run_numpy(mechanism, example), cost_of_rounding(mechanism, example, dtype)
        for need_weights in (True, False) if mechanism.kind == "attention" else (None,):
            got = run_torch(mechanism, example, dtype=dtype, device=device, need_weights=need_weights)[0]
            if need_weights is False:
                assert got[1:] == (None,), "need_weights=False returned weights"
            shown = 1 if need_weights is False else len(wanted)
            for name, a, b, bound in zip(
                named(mechanism, wanted)[:shown], got[:shown], wanted[:shown], allowed[:shown], strict=True
            ):
                assert a.dtype == dtype, f"{name}: came as {a.dtype}, wanted {dtype}"
                error = np.abs(a.detach().cpu().double().numpy() - b).max()
                assert error <= 4 * bound, f"{name} in {dtype}: error {error:.2g}, allowed {4 * bound:.2g}"


def extremes(mechanism: Mechanism, case: str, device: torch.device = CPU) -> None:
    """With scores of ±10⁴, and with empty rows, outputs and gradients stay finite."""
    for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
        example = examples(mechanism)[case]
        name = next(iter(example.inputs))
        if dtype != torch.float16:  # its largest number is 65504: products of that size would overflow in any form
            example = changed(example, **{name: example.inputs[name] * 1e4})
        for need_weights in (True, False) if mechanism.kind == "attention" else (None,):
            result, leaves = run_torch(mechanism, example, dtype, device, gradient=True, need_weights=need_weights)
            sum(r.float().sum() for r in result if r is not None).backward()
            for label, tensor in zip(named(mechanism, result), result, strict=True):
                assert tensor is None or torch.isfinite(tensor).all(), f"{label} is not finite in {dtype}"
            for label, leaf in leaves.items():
                assert torch.isfinite(slope(leaf)).all(), f"gradient of {label} is not finite in {dtype}"
    wanted = run_numpy(mechanism, example)
    assert all(np.isfinite(result).all() for result in wanted), "NumPy's result is not finite"


# What a last digit can change beyond all proportion, in draws of any size; `precision` looks at one draw of each.
TIPPED = {
    "local_p": "where its window ends",
    "lsh_attention": "which bucket is nearest",
    "re_attention": "maps that are all alike: their norm divides by the square root of ε",
}


def exact_whatever_is_drawn(mechanism: Mechanism, example: Example, dtype: torch.dtype) -> None:
    """Every result is as exact as the precision allows, with and without weights; results and gradients are finite."""
    example = rounded(example, dtype)
    wanted, cost = run_numpy(mechanism, example), cost_of_rounding(mechanism, example, dtype)
    double, numbers = dtype == torch.float64, torch.finfo(dtype)
    for need_weights in (True, False) if mechanism.kind == "attention" else (None,):
        got, leaves = run_torch(mechanism, example, dtype, gradient=True, need_weights=need_weights)
        for name, result, definition, error in zip(named(mechanism, wanted), got, wanted, cost, strict=False):
            if result is not None:
                assert torch.isfinite(result).all(), f"{name} is not finite in {dtype}"
                size = np.abs(definition).max(initial=0)
                # What a weight near 1 is known to; the smallest number there is; what the definition itself rounds off.
                least = numbers.eps if name == "log_prob" else max(numbers.smallest_normal, 1e-16)
                allowed = 1e-9 * max(1, size) if double else 16 * max(error, least)
                if double or mechanism.name not in TIPPED:
                    assert_close(result, definition, f"{name} in {dtype}", rtol=0, atol=allowed)
        total = sum(result.double().sum() for result in got if result is not None)
        if total.requires_grad:  # else there is no place
            total.backward()
        for name, leaf in leaves.items():
            assert torch.isfinite(slope(leaf)).all(), f"gradient of {name} is not finite in {dtype}"


@contextlib.contextmanager
def shapes_checked(on: bool) -> Iterator[None]:
    """Switch the checks that jaxtyping makes on every call; else they would speak before our own."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", not on)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", before)


def _is_legal(mechanism: Mechanism, arguments: dict[str, Any]) -> bool:
    """Whether the NumPy function's signature, with its shapes, allows the call."""
    with shapes_checked(True):
        try:
            mechanism.reference(**arguments)
        except jaxtyping.TypeCheckError:
            return False
        except (TypeError, ValueError):
            pass  # our own words came first
    return True


def _bad_values(array: np.ndarray) -> Iterator[tuple[str, Any]]:
    """Yield (what is wrong, a bad value) to put in place of an array."""
    yield "a list", array.tolist()
    yield "a number", 1.0
    if array.dtype == bool:
        yield "a mask of numbers", array.astype(float)
        yield "a mask of integers", array.astype(int)
        yield "a mask one key too wide", np.concatenate([array, array[..., :1]], -1)
        yield "a mask one query too long", np.concatenate([array, array[..., :1, :]], -2)
        yield "a mask with an axis too many", np.broadcast_to(array, (3, 1, *array.shape)).copy()
        return
    if array.dtype.kind == "i":
        first = np.arange(array.size).reshape(array.shape) == 0
        yield "fractions", array.astype(float)
        yield "truths", array > 0
        yield "one below 0", np.where(first, -1, array)
        yield "one beyond the last", np.where(first, 10**6, array)
    else:
        yield "integers", array.astype(int)
    yield "complex numbers", array.astype(complex)
    yield "no axes at all", np.asarray(1.0)
    for axis in range(array.ndim):
        yield f"one more along axis {axis}", np.concatenate([array, array.take([0], axis)], axis)
        yield f"one only along axis {axis}", array.take([0], axis)
    yield "an axis too many", array[None]


def bad_inputs(mechanism: Mechanism, case: str) -> None:
    """What the signature's types and shapes forbid raises a TypeError or ValueError that names the argument."""
    example = examples(mechanism)[case]
    arguments = {**example.inputs, **example.parameters, **example.options, **mode(example)}
    module = build(mechanism, example)
    tensors = {name: to_torch(array) for name, array in example.inputs.items()}
    tried = 0
    with shapes_checked(False):
        for name, array in {**example.inputs, **example.parameters}.items():
            for what, value in _bad_values(array):
                wrong = {**arguments, name: value}
                shaped = isinstance(value, np.ndarray) and value.dtype.kind == "f"
                if shaped and array.dtype.kind == "f" and _is_legal(mechanism, wrong):
                    continue
                tried += 1
                _refuses(mechanism.reference, wrong, name, f"NumPy, {name}: {what}")
                if name in tensors:
                    tensor = torch.tensor(value) if isinstance(value, np.ndarray) else value
                    _refuses(module, {**tensors, name: tensor}, name, f"PyTorch, {name}: {what}")
        if {"choice", "attn_mask"} <= example.inputs.keys():  # what the mask forbids cannot have been drawn
            choice, lowest = example.inputs["choice"], example.inputs["attn_mask"].argmin(-1)
            forbidden = np.broadcast_to(lowest, choice.shape).astype(choice.dtype)
            _refuses(mechanism.reference, {**arguments, "choice": forbidden}, "choice", "NumPy, choice: forbidden")
            tensor = torch.tensor(forbidden)
            _refuses(module, {**tensors, "choice": tensor}, "choice", "PyTorch, choice: forbidden")
        alone = len(floats(example)) == 1
        for name, tensor in tensors.items():
            if not (alone and tensor.is_floating_point()):  # else there is nothing to differ from
                tried += 1
                _refuses(module, {**tensors, name: tensor.to("meta")}, name, f"PyTorch, {name}: device")
            if not alone and tensor.is_floating_point():
                tried += 1
                _refuses(module, {**tensors, name: tensor.half()}, name, f"PyTorch, {name}: precision")
        for option, values in mechanism.refuses.items():
            for value in values:
                tried += 1
                constructor = {**example.options, **example.widths, option: value}
                _refuses(mechanism.module, constructor, option, f"PyTorch, {option}={value!r}")
                if option not in example.widths:
                    wrong = {**arguments, option: value}
                    _refuses(mechanism.reference, wrong, option, f"NumPy, {option}={value!r}")
    assert tried > 8, f"only {tried} bad calls were found to try"


def _refuses(call: Callable[..., Any], arguments: dict[str, Any], name: str, what: str) -> None:
    try:
        call(**arguments)
    except (TypeError, ValueError) as error:
        message = str(error)
        # A mismatch of sizes may be reported at the other argument, "as in" this one.
        remedy = f"let attn_edu.checks look at it first; the message was: {message}"
        assert re.search(rf"\b{name}\b", message), f"{what}: the message does not name it; {remedy}"
        assert "wanted" in message and "got" in message, f"{what}: say what was wanted and what came: {message}"
    except Exception as error:
        came = f"raised {type(error).__name__} in place of TypeError or ValueError: {error}"
        raise AssertionError(f"{what}: {came}; let attn_edu.checks look at it first") from error
    else:
        raise AssertionError(f"{what}: was accepted; let attn_edu.checks refuse it")


PER_RECORD = (record_is_whole, documented, worked_by_hand, forms_share_no_code, property_claims, begins_as_said)
PER_CASE = (
    liveness,
    options_live,
    matches_numpy,
    matches_any_batch,
    mask_broadcasts,
    gradients,
    weights_mean_what_they_say,
    masked_weights_are_zero,
    fused_matches_explicit,
    steps_match_whole,
    inputs_unchanged,
    state_survives,
    deterministic,
    precision,
    extremes,
    bad_inputs,
)
ATTENTION_ONLY = {weights_mean_what_they_say, masked_weights_are_zero, mask_broadcasts, fused_matches_explicit}
ON_CUDA = (matches_numpy, gradients, fused_matches_explicit, precision, extremes)
