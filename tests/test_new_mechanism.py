"""One file and one export line are enough: a throw-away mechanism is tested, listed, documented and timed."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from chapters import ROOT

SOURCE = '''
r"""Attention by distance: the nearer a key, the larger its weight.

.. math:: w_{ij} \\propto e^{-\\lVert q_i - k_j \\rVert^2 / 2}

Source: the Nadaraya–Watson estimator with a Gaussian kernel; cited here under another paper's key.
"""

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor, nn

from attn_edu import np_ops, torch_ops
from attn_edu.checks import check_arrays
from attn_edu.mechanism import Example, Mechanism, Sizes, claims, draw_mask, draw_query_key_value

PATTERN = "query: * L d_k, key: * S d_k, value: * S d_v"


def nearness(
    query: Float[np.ndarray, "*batch L d_k"],
    key: Float[np.ndarray, "*batch S d_k"],
    value: Float[np.ndarray, "*batch S d_v"],
    *,
    attn_mask: Bool[np.ndarray, "..."] | None = None,
) -> tuple[Float[np.ndarray, "*batch L d_v"], Float[np.ndarray, "*batch L S"]]:
    """Average the values by how near their keys are.

    Parameters
    ----------
    query, key, value : (..., L, d_k), (..., S, d_k), (..., S, d_v)
        Q, K and V.
    attn_mask : bool array, optional
        True where query i may attend to key j.

    Returns
    -------
    output, weights : (..., L, d_v), (..., L, S)

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit.

    References
    ----------
    Nadaraya (1964).

    Examples
    --------
    Squared distances 0 and 2 ln 3 halve to exponentials 1 and 1/3, so the weights are 3/4 and 1/4:

    >>> key = np.array([[0.0], [np.sqrt(2 * np.log(3.0))]])
    >>> nearness(np.array([[0.0]]), key, np.array([[4.0], [8.0]]))
    (array([[5.]]), array([[0.75, 0.25]]))
    """
    check_arrays(np.ndarray, PATTERN, query=query, key=key, value=value)
    scores = -0.5 * np.square(query[..., :, None, :] - key[..., None, :, :]).sum(-1)
    weights = np_ops.masked_softmax(scores, np_ops.may_attend(attn_mask, False, scores.shape))
    return weights @ value, weights


class Nearness(nn.Module):
    """`nearness` as a module.

    Examples
    --------
    >>> import torch
    >>> Nearness()(torch.zeros(1, 1), torch.tensor([[1.0], [-1.0]]), torch.tensor([[4.0], [8.0]]))[0]
    tensor([[6.]])
    """

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, need_weights: bool = True
    ) -> tuple[Tensor, Tensor | None]:
        """Return the output and the weights."""
        check_arrays(Tensor, PATTERN, query=query, key=key, value=value)
        scores = query @ key.mT - 0.5 * query.square().sum(-1)[..., None] - 0.5 * key.square().sum(-1)[..., None, :]
        allowed = torch_ops.may_attend(attn_mask, False, scores.shape, query.device)
        weights = torch_ops.masked_softmax(scores, allowed)
        return weights @ value, weights if need_weights else None


def examples(rng: np.random.Generator, sizes: Sizes) -> dict[str, Example]:
    """Draw examples."""
    arrays = {name: array / 2 for name, array in draw_query_key_value(rng, sizes).items()}
    return {"plain": Example(arrays), "masked": Example({**arrays, "attn_mask": draw_mask(rng, sizes.L, sizes.S)})}


MECHANISM = Mechanism(
    title="Attention by distance",
    citation="vaswani2017attention",
    equation=r"w_{ij} \\propto e^{-\\lVert q_i - k_j \\rVert^2 / 2}",
    cost=r"O(L S (d_k + d_v))",
    kind="attention",
    reference=nearness,
    module=Nearness,
    examples=examples,
    recompose=lambda weights, value, **_: weights @ value,
    properties=claims(
        holds="rows_sum_to_one weights_not_negative equivariant_to_query_order invariant_to_key_order",
        fails="linear_in_values",
        does_not_apply={
            "causal_when_asked": "no order is asked for",
            "largest_on_diagonal": "queries and keys are different things",
        },
    ),
    chapter="notebooks/foundations/03_queries_keys_values",
)
'''

PAGES = """
import sys; sys.path.insert(0, {extensions!r})
import book_pages
from attn_edu.catalogue import mechanisms
from attn_edu.properties import PROPERTIES
print(book_pages.catalogue_page(mechanisms(), PROPERTIES))
print("=====")
print(book_pages.api_pages(mechanisms())["book/api/core"])
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the package with one more file and one more line."""
    folder = tmp_path_factory.mktemp("package")
    ignore = shutil.ignore_patterns("__pycache__")
    for name in ("attn_edu", "extensions", "tests", "benchmarks", "notebooks"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    for name in ("pyproject.toml", "references.bib", "_config.yml"):
        shutil.copy(ROOT / name, folder)
    (folder / "attn_edu/core/_nearness.py").write_text(SOURCE)
    with (folder / "attn_edu/core/__init__.py").open("a") as exports:
        exports.write("from ._nearness import Nearness as Nearness, nearness as nearness\n")
    return folder


def run(folder, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )


def contract(folder):
    return run(
        folder,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-n0",
        "tests/test_contract.py",
        "--mechanism",
        "nearness",
    )


def test_it_is_tested(copy):
    """The contract finds it, and with it the one claim that is false; once mended, all passes."""
    result = contract(copy)
    assert "linear_in_values: claimed to fail" in result.stdout, result.stdout + result.stderr
    assert "1 failed" in result.stdout, result.stdout[-3000:]
    file = copy / "attn_edu/core/_nearness.py"
    source = file.read_text().replace('        fails="linear_in_values",\n', "")
    file.write_text(source.replace('invariant_to_key_order"', 'invariant_to_key_order linear_in_values"'))
    result = contract(copy)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-2000:]


def test_a_fault_in_it_is_caught(copy):
    file = copy / "attn_edu/core/_nearness.py"
    kept = file.read_text()
    file.write_text(kept.replace("query @ key.mT -", "query @ key.mT * 0.999 -"))
    result = contract(copy)
    file.write_text(kept)
    assert "FAILED" in result.stdout and "matches_numpy" in result.stdout, result.stdout[-3000:]


def test_a_file_that_nobody_exports_is_found(copy):
    exports = copy / "attn_edu/core/__init__.py"
    kept = exports.read_text()
    exports.write_text(kept.replace("from ._nearness", "# from ._nearness"))
    result = run(
        copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n0", "tests/test_contract.py", "-k", "exported"
    )
    asked = contract(copy)
    exports.write_text(kept)
    assert "not exported by attn_edu/<family>/__init__.py: attn_edu/core/_nearness.py" in result.stdout
    assert "wanted 'from ._nearness import …' in attn_edu/core/__init__.py" in asked.stderr


def test_a_name_that_is_none_is_told_with_those_there_are(copy):
    result = run(copy, "-m", "pytest", "-n0", "tests/test_contract.py", "--mechanism", "nearnes")
    assert "there is no attn_edu/<family>/_nearnes.py; wanted one of weighted_sum, " in result.stderr


def test_a_family_that_nobody_imports_is_told(copy):
    family = copy / "attn_edu/near"
    family.mkdir()
    (copy / "attn_edu/core/_nearness.py").rename(family / "_nearness.py")
    exports = copy / "attn_edu/core/__init__.py"
    kept = exports.read_text()
    exports.write_text(kept.replace("from ._nearness", "# from ._nearness"))
    result = contract(copy)
    (family / "_nearness.py").rename(copy / "attn_edu/core/_nearness.py")
    exports.write_text(kept)
    family.rmdir()
    assert "'from . import near as near' in attn_edu/__init__.py" in result.stderr


def test_it_is_listed_and_documented(copy):
    result = run(copy, "-c", PAGES.format(extensions=str(ROOT / "extensions")))
    catalogue, _, api = result.stdout.partition("=====")
    assert "Attention by distance" in catalogue and r"\lVert q_i - k_j \rVert^2" in catalogue, result.stderr
    assert "attn_edu.core.nearness" in api and "attn_edu.core.Nearness" in api


def test_it_is_timed(copy):
    out = copy / "out"
    only = ["--lengths", "16", "--repeats", "1", "--only", "nearness", "--allocator", "default"]
    result = run(copy, "benchmarks/run.py", *only, "--out", str(out))
    assert result.returncode == 0, result.stderr
    [path] = out.iterdir()
    names = {row["name"] for row in json.loads(path.read_text())["rows"]}
    assert names == {"nearness", "F.scaled_dot_product_attention"}
