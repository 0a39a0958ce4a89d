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
def test_any_sizes(name):
    """PyTorch equals NumPy, explicit and fused, whatever the sizes and however large the scores."""
    record = RECORDS[name]

    @settings(max_examples=25, derandomize=True, deadline=None)
    @given(
        batch=st.lists(st.integers(1, 3), max_size=2).map(tuple),
        sizes=st.tuples(*[st.integers(1, 9)] * 6),
        magnitude=st.sampled_from([1e-3, 1.0, 30.0]),
        seed=st.integers(0, 2**32 - 1),
    )
    def agree(batch, sizes, magnitude, seed):
        drawn = Sizes(batch, *sizes)
        for case, example in record.examples(np.random.default_rng(seed), drawn).items():
            scaled = contract.changed(example, **{n: a * magnitude for n, a in contract.floats(example).items()})
            wanted = contract.run_numpy(record, scaled)
            size = max(1.0, np.abs(wanted[0]).max(initial=0))
            for need_weights in (True, False) if record.kind == "attention" else (None,):
                got = contract.run_torch(record, scaled, need_weights=need_weights)[0]
                contract.assert_close(got[0], wanted[0], f"{case} at {drawn}", rtol=1e-9, atol=1e-9 * size)

    agree()


def test_every_file_is_exported():
    """A mechanism's file that no export line names would be tested by nobody."""
    package = Path(attn_edu.__file__).parent
    declared = {path for path in package.rglob("*.py") if "MECHANISM = Mechanism(" in path.read_text()}
    exported = {Path(inspect.getfile(inspect.unwrap(record.reference))) for record in RECORDS.values()}
    left = [f"attn_edu/{path.relative_to(package).as_posix()}" for path in sorted(declared - exported)]
    assert declared == exported, f"not exported by attn_edu/<family>/__init__.py: {', '.join(left)}"
