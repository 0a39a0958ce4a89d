"""Every clause of the contract, on every mechanism in the catalogue."""

import inspect
from pathlib import Path

import contract
import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

import attn_edu
from attn_edu.catalogue import mechanisms
from attn_edu.mechanism import Sizes

RECORDS = {f"{record.family}.{record.name}": record for record in mechanisms()}
CASES = [(name, case) for name, record in RECORDS.items() for case in contract.examples(record)]


@pytest.mark.parametrize("clause", contract.PER_RECORD, ids=lambda clause: clause.__name__)
@pytest.mark.parametrize("name", RECORDS)
def test_record(name, clause):
    clause(RECORDS[name])


@pytest.mark.parametrize("clause", contract.PER_CASE, ids=lambda clause: clause.__name__)
@pytest.mark.parametrize(("name", "case"), CASES, ids=[f"{name}-{case}" for name, case in CASES])
def test_clause(name, case, clause):
    if RECORDS[name].kind != "attention" and clause in contract.ATTENTION_ONLY:
        return
    clause(RECORDS[name], case)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device found")
@pytest.mark.parametrize("clause", contract.ON_CUDA, ids=lambda clause: clause.__name__)
@pytest.mark.parametrize(("name", "case"), CASES, ids=[f"{name}-{case}" for name, case in CASES])
def test_clause_on_cuda(name, case, clause):
    if RECORDS[name].kind != "attention" and clause in contract.ATTENTION_ONLY:
        return
    clause(RECORDS[name], case, device=torch.device("cuda"))


@pytest.mark.parametrize("name", RECORDS)
def test_whatever_is_drawn(name):
    """Lengths, 0 included, widths, masks, empty rows, small and large numbers, in every precision."""
    record = RECORDS[name]

    @settings(max_examples=50, derandomize=True, deadline=None)
    @given(
        batch=st.lists(st.integers(0, 3), max_size=2).map(tuple),
        lengths=st.tuples(*[st.integers(0, 9)] * 2),
        widths=st.tuples(*[st.integers(1, 9)] * 4),
        magnitude=st.sampled_from([0.0, 1e-3, 1.0, 30.0]),
        open_places=st.sampled_from([None, 0.0, 0.3, 1.0]),
        dtype=st.sampled_from([torch.float64] * 3 + [torch.float32, torch.float16, torch.bfloat16]),
        seed=st.integers(0, 2**32 - 1),
    )
    def agree(batch, lengths, widths, magnitude, open_places, dtype, seed):
        sizes, rng = Sizes(batch, *lengths, *widths), np.random.default_rng(seed)
        if record.kind == "sampled" and not sizes.S:
            return  # there is nothing to choose
        if dtype == torch.float16:
            magnitude = float(magnitude > 0)  # it has no room for products of small numbers, nor of large ones
        for example in record.examples(rng, sizes).values():
            arrays = {name: array * magnitude for name, array in contract.floats(example).items()}
            if open_places is not None and "attn_mask" in example.inputs and record.kind != "sampled":
                arrays["attn_mask"] = rng.random(example.inputs["attn_mask"].shape) < open_places
            contract.exact_whatever_is_drawn(record, contract.changed(example, **arrays), dtype)

    agree()


def test_every_file_is_exported():
    """A mechanism's file that no export line names would be tested by nobody."""
    package = Path(attn_edu.__file__).parent
    declared = {path for path in package.rglob("*.py") if "MECHANISM = Mechanism(" in path.read_text()}
    exported = {Path(inspect.getfile(inspect.unwrap(record.reference))) for record in RECORDS.values()}
    left = [f"attn_edu/{path.relative_to(package).as_posix()}" for path in sorted(declared - exported)]
    assert declared == exported, f"not exported by attn_edu/<family>/__init__.py: {', '.join(left)}"
