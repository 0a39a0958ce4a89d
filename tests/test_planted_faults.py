"""Faults planted in the shipped source, each of which the contract must catch, for its own reason."""

import dataclasses

import contract
import pytest
import torch
from planting import MIXED, plant

from attn_edu.catalogue import find
from attn_edu.mechanism import Claim

TORCH, NUMPY = "torch_ops.py", "np_ops.py"
DOT, SELF, SUM, SOFT, HEADS = (
    f"core/_{name}.py"
    for name in ("scaled_dot_product", "self_attention", "weighted_sum", "soft_dictionary", "multi_head")
)
SHAW, TURN, LINEAR, WAVES = (
    f"positions/_{name}.py" for name in ("relative_attention", "rotary", "alibi", "sinusoidal_positions")
)
MIX = "heads/_re_attention.py"

# name: (mechanism, edits, the clause that must catch it, the example, what it must say)
FAULTS = {
    "the mask is inverted": (
        "scaled_dot_product",
        [(TORCH, "masked_fill(~allowed", "masked_fill(allowed")],
        contract.matches_numpy,
        "masked",
        "output of PyTorch and NumPy",
    ),
    "the mask is inverted in both forms": (
        "scaled_dot_product",
        [
            (TORCH, "masked_fill(~allowed", "masked_fill(allowed"),
            (NUMPY, "np.where(allowed, scores, -np.inf)", "np.where(allowed, -np.inf, scores)"),
        ],
        contract.masked_weights_are_zero,
        "masked",
        "a key that the mask forbids has a weight",
    ),
    "√d in place of √d_k": (
        "self_attention",
        [(SELF, "ScaledDotProduct(causal)", "ScaledDotProduct(causal, d_model**-0.5)")],
        contract.matches_numpy,
        "plain",
        "of PyTorch and NumPy",
    ),
    "√d in place of √d_k in both forms": (
        "self_attention",
        [
            (SELF, "ScaledDotProduct(causal)", "ScaledDotProduct(causal, d_model**-0.5)"),
            (
                SELF,
                "attn_mask=attn_mask, causal=causal)",
                "attn_mask=attn_mask, causal=causal, scale=len(W_Q) ** -0.5)",
            ),
        ],
        contract.worked_by_hand,
        None,
        "worked by hand gives something else",
    ),
    "softmax over the queries": (
        "scaled_dot_product",
        [(TORCH, "scores.softmax(-1, dtype=dtype)", "scores.softmax(-2, dtype=dtype)")],
        contract.matches_numpy,
        "plain",
        "of PyTorch and NumPy",
    ),
    "softmax over the queries in the definition": (
        "scaled_dot_product",
        [(NUMPY, "sum(axis=-1", "sum(axis=-2")],
        contract.property_claims,
        None,
        "rows_sum_to_one: claimed to hold",
    ),
    "weights transposed": (
        "weighted_sum",
        [(SUM, "return weights @ x, weights", "return weights.mT @ x, weights")],
        contract.matches_numpy,
        "softmax",
        "output of PyTorch and NumPy",
    ),
    "weights transposed in both forms": (
        "weighted_sum",
        [
            (SUM, "return weights @ x, weights", "return weights.mT @ x, weights"),
            (SUM, '"...ij,...jd->...id", weights, x', '"...ij,...id->...jd", weights, x'),
        ],
        contract.weights_mean_what_they_say,
        "softmax",
        "output rebuilt from the NumPy weights",
    ),
    "the fused path drops the mask": (
        "scaled_dot_product",
        [(TORCH, "attn_mask=bias, is_causal", "attn_mask=None, is_causal")],
        contract.fused_matches_explicit,
        "masked",
        "fused output",
    ),
    "the fused path drops causal order": (
        "scaled_dot_product",
        [(TORCH, "is_causal=alone", "is_causal=False")],
        contract.fused_matches_explicit,
        "causal",
        "fused output",
    ),
    "the fused path divides where it should multiply": (
        "soft_dictionary",
        [(SOFT, "False, 1 / self.temperature", "False, self.temperature")],
        contract.fused_matches_explicit,
        "warm",
        "fused output",
    ),
    "the fused path cuts the gradient": (
        "scaled_dot_product",
        [(DOT, "fused_attention(query, key,", "fused_attention(query, key + 0 * key.detach() - key + key.detach(),")],
        contract.fused_matches_explicit,
        "plain",
        "fused gradient of key",
    ),
    "need_weights=False returns weights": (
        "weighted_sum",
        [(SUM, "weights if need_weights else None", "weights")],
        contract.fused_matches_explicit,
        "raw",
        "returned weights",
    ),
    "forward scales the caller's query in place": (
        "scaled_dot_product",
        [(DOT, "(query * scale) @", "query.mul_(scale) @")],
        contract.inputs_unchanged,
        "plain",
        "forward changed query",
    ),
    "the definition scales the caller's query in place": (
        "scaled_dot_product",
        [(DOT, "    scores = np.einsum(", "    query *= scale\n    scores = np.einsum(")],
        contract.inputs_unchanged,
        "plain",
        "the NumPy function changed query",
    ),
    "NaN from an empty row": (
        "scaled_dot_product",
        [
            (TORCH, "torch.finfo(dtype).min", 'float("-inf")'),
            (TORCH, "return weights.masked_fill(~allowed, 0)", "return weights"),
        ],
        contract.extremes,
        "masked",
        "output is not finite",
    ),
    "NaN gradients from an empty row": (
        "scaled_dot_product",
        [
            (TORCH, "torch.finfo(dtype).min", 'float("-inf")'),
            (TORCH, "return weights.masked_fill(~allowed, 0)", "return weights.nan_to_num()"),
            (
                TORCH,
                "scores.to(dtype).masked_fill(~allowed, lowest)",
                "(scores.to(dtype) + (~allowed).to(dtype).mul(lowest).nan_to_num(0, neginf=lowest))",
            ),
        ],
        contract.extremes,
        "masked",
        "gradient of query is not finite",
    ),
    "uniform weights on an empty row": (
        "scaled_dot_product",
        [(TORCH, "return weights.masked_fill(~allowed, 0)", "return weights")],
        contract.masked_weights_are_zero,
        "masked",
        "a key that the mask forbids has a weight",
    ),
    "causal order without the present": (
        "scaled_dot_product",
        [(TORCH, ".tril()", ".tril(-1)")],
        contract.matches_numpy,
        "causal",
        "of PyTorch and NumPy",
    ),
    "causal order that sees one step ahead, in both forms": (
        "scaled_dot_product",
        [(TORCH, ".tril()", ".tril(1)"), (NUMPY, "np.arange(shape[-2])[:, None]", "np.arange(shape[-2])[:, None] + 1")],
        contract.property_claims,
        None,
        "causal_when_asked: claimed to hold",
    ),
    "the scale is ignored": (
        "scaled_dot_product",
        [(DOT, "if self.scale is None else self.scale", "if True else self.scale")],
        contract.matches_numpy,
        "scaled",
        "of PyTorch and NumPy",
    ),
    "the scale is ignored in both forms": (
        "scaled_dot_product",
        [
            (DOT, "if self.scale is None else self.scale", "if True else self.scale"),
            (
                DOT,
                '    check_positive("scale", scale)\n    scores',
                "    scale = 1 / math.sqrt(query.shape[-1])\n    scores",
            ),
        ],
        contract.options_live,
        "scaled",
        "option scale is dead",
    ),
    "softmax in single precision": (
        "scaled_dot_product",
        [(TORCH, "torch.float64 if scores.dtype == torch.float64 else torch.float32", "torch.float32")],
        contract.matches_numpy,
        "plain",
        "of PyTorch and NumPy",
    ),
    "half precision all the way": (
        "scaled_dot_product",
        [(DOT, "scores = (query * scale) @ key.mT", "scores = ((query * scale) @ key.mT).bfloat16().to(query.dtype)")],
        contract.precision,
        "plain",
        "in torch.float",
    ),
    "exponentials that overflow": (
        "scaled_dot_product",
        [(NUMPY, "np.exp(scores - np.where(np.isfinite(top), top, 0))", "np.exp(scores)")],
        contract.extremes,
        "plain",
        "NumPy's result is not finite",
    ),
    "weights cut from the graph": (
        "scaled_dot_product",
        [(DOT, "return weights @ value, weights\n\n\ndef", "return weights @ value, weights.detach()\n\n\ndef")],
        contract.gradients,
        "plain",
        "gradient of query",
    ),
    "keys cut from the graph": (
        "scaled_dot_product",
        [(DOT, "@ key.mT", "@ key.detach().mT")],
        contract.gradients,
        "plain",
        "no gradient reaches key",
    ),
    "dropout in training": (
        "scaled_dot_product",
        [
            (
                DOT,
                "        return weights @ value",
                "        weights = nn.functional.dropout(weights, 0.2, self.training)\n        return weights @ value",
            )
        ],
        contract.deterministic,
        "plain",
        "two calls differ",
    ),
    "a parameter that is not saved": (
        "self_attention",
        [(SELF, "self.W_V = nn.Parameter(torch.empty(d_model, d_v))", "self.W_V = torch.ones(d_model, d_v)")],
        contract.state_survives,
        "plain",
        "names in the state_dict",
    ),
    "a projection that is never used": (
        "self_attention",
        [
            (SELF, "x @ W_Q, x @ W_K", "x @ W_K, x @ W_K"),
            (SELF, "x @ self.W_Q, x @ self.W_K", "x @ self.W_K, x @ self.W_K"),
        ],
        contract.liveness,
        "plain",
        "W_Q does not change",
    ),
    "a head is missing": (
        "multi_head",
        [
            (
                HEADS,
                "context, weights = self.attend(q, k, v, attn_mask, need_weights)",
                "context, weights = self.attend(q[..., [0, 1, 0], :, :], k, v, attn_mask, need_weights)",
            )
        ],
        contract.matches_numpy,
        "plain",
        "of PyTorch and NumPy",
    ),
    "heads joined in the wrong order": (
        "multi_head",
        [
            (
                HEADS,
                '"... h l d -> ... l (h d)") @ W_O, weights\n\n\ndef examples',
                '"... h l d -> ... l (d h)") @ W_O, weights\n\n\ndef examples',
            )
        ],
        contract.matches_numpy,
        "plain",
        "output of PyTorch and NumPy",
    ),
    "heads joined in the wrong order in both forms": (
        "multi_head",
        [(HEADS, '"... h l d -> ... l (h d)"', '"... h l d -> ... l (d h)"')],
        contract.weights_mean_what_they_say,
        "plain",
        "output rebuilt from the NumPy weights",
    ),
    "heads that do not divide the width": (
        "multi_head",
        [(HEADS, '        check_divides("heads", heads, d_model=d_model)\n', "")],
        contract.bad_inputs,
        "plain",
        "heads=.: was accepted",
    ),
    "one mask for the whole batch": (
        "scaled_dot_product",
        [(TORCH, "else attn_mask\n", "else attn_mask.reshape(-1, *attn_mask.shape[-2:])[0]\n")],
        contract.mask_broadcasts,
        "masked",
        "output with a mask of shape",
    ),
    "shapes that broadcast in silence": (
        "scaled_dot_product",
        [(DOT, "        check_arrays(Tensor, PATTERN, query=query, key=key, value=value)\n", "")],
        contract.bad_inputs,
        "plain",
        "PyTorch, ",
    ),
    "an additive mask taken for a boolean one": (
        "scaled_dot_product",
        [
            (
                TORCH,
                "        check_mask(Tensor, attn_mask, shape)\n",
                "        attn_mask = torch.as_tensor(attn_mask).bool()\n",
            )
        ],
        contract.bad_inputs,
        "masked",
        "attn_mask: a .*: was accepted",
    ),
    "a temperature of zero": (
        "soft_dictionary",
        [(SOFT, '        check_positive("temperature", temperature)\n        self', "        self")],
        contract.bad_inputs,
        "plain",
        "temperature=0.0: was accepted",
    ),
    "offsets counted from the key": (
        "relative_attention",
        [(SHAW, "row = (j - i[:, None])", "row = (i[:, None] - j)")],
        contract.matches_numpy,
        "plain",
        "output of PyTorch and NumPy",
    ),
    "offsets counted from the key in both forms": (
        "relative_attention",
        [
            (SHAW, "row = (j - i[:, None])", "row = (i[:, None] - j)"),
            (
                SHAW,
                "np.arange(key.shape[-2]) - np.arange(query.shape[-2])[:, None]",
                "np.arange(query.shape[-2])[:, None] - np.arange(key.shape[-2])",
            ),
        ],
        contract.worked_by_hand,
        None,
        "worked by hand gives something else",
    ),
    "far offsets left out instead of clipped": (
        "relative_attention",
        [
            (
                SHAW,
                ").to(weights.dtype)\n        return",
                ").to(weights.dtype)[..., 1:-1]\n        a_V = a_V[1:-1]\n        return",
            )
        ],
        contract.matches_numpy,
        "plain",
        "output of PyTorch and NumPy",
    ),
    "a query that is scaled twice where it meets the offsets": (
        "relative_attention",
        [(SHAW, "(query @ a_K.mT)", "(query @ a_K.mT / math.sqrt(query.shape[-1]))")],
        contract.matches_numpy,
        "plain",
        "of PyTorch and NumPy",
    ),
    "a bias that draws the far ones near": (
        "alibi",
        [(LINEAR, "bias = -self.slopes", "bias = self.slopes")],
        contract.matches_numpy,
        "plain",
        "of PyTorch and NumPy",
    ),
    "a bias lost on the fused path": (
        "alibi",
        [(TORCH, "query.new_zeros(()) if bias is None else bias", "query.new_zeros(())")],
        contract.fused_matches_explicit,
        "masked",
        "fused output",
    ),
    "a mask lost beside a bias": (
        "alibi",
        [(TORCH, "torch.where(mask, query", "torch.where(mask | True, query")],
        contract.fused_matches_explicit,
        "masked",
        "fused output",
    ),
    "turned the wrong way": (
        "rotary",
        [(TURN, "even * cos - odd * sin, even * sin + odd * cos", "even * cos + odd * sin, odd * cos - even * sin")],
        contract.matches_numpy,
        "plain",
        "output of PyTorch and NumPy",
    ),
    "heads mixed by Theta's transpose": (
        "re_attention",
        [(MIX, '"ng,...nij->...gij"', '"gn,...nij->...gij"')],
        contract.matches_numpy,
        "none",
        "of PyTorch and NumPy",
    ),
    "heads mixed by Theta's transpose in both forms": (
        "re_attention",
        [(MIX, '"ng,...nij->...gij"', '"gn,...nij->...gij"'), (MIX, "maps = (Theta.mT @", "maps = (Theta @")],
        contract.worked_by_hand,
        None,
        "worked by hand gives something else",
    ),
    "mixed before the softmax": (
        "re_attention",
        [(MIX, "(Theta.mT @ (q @ k.mT).softmax(-1).flatten(-2))", "(Theta.mT @ (q @ k.mT).flatten(-2)).softmax(-1)")],
        contract.matches_numpy,
        "none",
        "of PyTorch and NumPy",
    ),
    "statistics of a batch that forget its size": (
        "re_attention",
        [(MIX, "Theta) / max(count, 1)", "Theta) / max(count // 2, 1)")],
        contract.matches_numpy,
        "batch",
        "of PyTorch and NumPy",
    ),
    "training's statistics in evaluation": (
        "re_attention",
        [(MIX, "        if self.training:", "        if self.training or True:")],
        contract.matches_numpy,
        "evaluated",
        "of PyTorch and NumPy",
    ),
    "running statistics that are not kept up": (
        "re_attention",
        [(MIX, ".lerp_(mean.to(self.running_mean.dtype), 0.1)", ".lerp_(mean.to(self.running_mean.dtype), 0.0)")],
        contract.inputs_unchanged,
        "batch",
        "forward left running_mean",
    ),
    "a blocked backward that takes the norm for a constant": (
        "re_attention",
        [(MIXED, "back.addcmul_(mixed, along, value=-1).mul_(inverse)", "back.mul_(inverse)")],
        contract.fused_matches_explicit,
        "layer",
        "fused gradient of",
    ),
    "a blocked backward that forgets the bias on values": (
        "re_attention",
        [(MIXED, "(bias[:, None, None] * summed).expand_as", "(0 * bias[:, None, None] * summed).expand_as")],
        contract.fused_matches_explicit,
        "layer",
        "fused gradient of value",
    ),
    "a block that is always the first one": (
        "re_attention",
        [(MIXED, "slice(row, row + b)", "slice(0, b)")],
        contract.fused_matches_explicit,
        "layer",
        "fused output",
    ),
    "a step that reads the first summary": (
        "lstmn",
        [("recurrent/_lstmn.py", "summary[..., -1, :] @", "summary[..., 0, :] @")],
        contract.steps_match_whole,
        "plain",
        "output of step 2",
    ),
    "a gain of two where none is given": (
        "re_attention",
        [(MIX, "(1 if gain is None", "(2 if gain is None")],
        contract.begins_as_said,
        None,
        "without gain",
    ),
    "a start ten times too wide": (
        "re_attention",
        [(MIX, "nn.init.normal_(self.Theta, std=0.1)", "nn.init.normal_(self.Theta)")],
        contract.begins_as_said,
        None,
        "a fresh Theta: wanted identity 0.1",
    ),
    "parameters left as the memory was": (
        "multi_head",
        [(HEADS, "        self.reset_parameters()", "        pass")],
        contract.begins_as_said,
        None,
        "a fresh W_.: wanted uniform",
    ),
    "a sine and a cosine of neighbouring frequencies": (
        "sinusoidal_positions",
        [(WAVES, "(column - column % 2) / d", "column / d")],
        contract.matches_numpy,
        "even",
        "output of PyTorch and NumPy",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_fault_is_caught(fault):
    mechanism, edits, clause, case, reason = FAULTS[fault]
    arguments = (case,) if case else ()
    clause(plant(mechanism), *arguments)  # without the fault the clause is content
    with pytest.raises(AssertionError, match=reason):
        clause(plant(mechanism, *edits), *arguments)


@pytest.mark.parametrize(
    ("name", "claim", "reason"),
    [
        ("largest_on_diagonal", Claim("holds"), "claimed to hold"),
        ("rows_sum_to_one", Claim("fails"), "claimed to fail"),
        ("rows_sum_to_one", Claim("does not apply", "none"), "claimed not to apply"),
        ("linear_in_values", Claim("does not apply"), "say why"),
    ],
)
def test_false_claim_is_caught(name, claim, reason):
    record = find("self_attention")
    false = dataclasses.replace(record, properties={**record.properties, name: claim})
    with pytest.raises(AssertionError, match=reason):
        contract.property_claims(false)


def test_all_that_a_record_lacks_is_told_at_once():
    class WithoutNeedWeights(find("dot").module):
        def forward(self, query, key, value): ...

    record = find("dot")
    properties = {name: claim for name, claim in record.properties.items() if name != "rows_sum_to_one"}
    bare = dataclasses.replace(
        record,
        citation="nobody2020nothing",
        chapter="notebooks/foundations/99_none",
        examples=find("self_attention").examples,
        module=WithoutNeedWeights,
        properties={**properties, "rows_sum_to_two": Claim("holds")},
        recompose=None,
        refuses={},
    )
    with pytest.raises(AssertionError) as caught:
        contract.record_is_whole(bare)
    for lack in (
        "scores/test_planted_faults.py:",
        "WithoutNeedWeights.forward: wanted a last argument need_weights",
        "recompose: wanted",
        "refuses: says nothing of causal;",
        "refuses: says nothing of d_model;",
        "properties: no claim for rows_sum_to_one",
        "properties: there is no rows_sum_to_two in attn_edu/properties.py",
        "citation: nobody2020nothing is not in references.bib",
        "chapter: there is no notebooks/foundations/99_none.ipynb",
        "the file: wanted _dot.py",
        "WithoutNeedWeights: not exported; add it to attn_edu/scores/__init__.py",
    ):
        assert lack in str(caught.value)

    class GivesNoneUnasked(find("dot").module):
        def forward(self, query, key, value, attn_mask=None, need_weights=False): ...

    with pytest.raises(AssertionError, match=r"GivesNoneUnasked\.forward: wanted a last argument need_weights=True"):
        contract.record_is_whole(dataclasses.replace(record, module=GivesNoneUnasked))
    # What cannot be asked is told once, not by every clause that would have asked.
    with pytest.raises(pytest.skip.Exception, match="need_weights, as record_is_whole says"):
        contract.asked(bare, True)


def test_a_form_without_its_documents_or_with_the_others_code_is_caught():
    def bare(query, scale):
        """Say nothing of what is taken."""
        return torch.sum(query)

    record = dataclasses.replace(find("dot"), reference=bare)
    with pytest.raises(AssertionError) as caught:
        contract.documented(record)
    for section in ("Parameters", "Returns", "Raises", "References", "Examples"):
        assert f"bare: the docstring has no section {section}" in str(caught.value)
    assert "bare: no example worked by hand" in str(caught.value) and "bare: scale is not" in str(caught.value)
    with pytest.raises(AssertionError, match="the NumPy definition uses PyTorch"):
        contract.forms_share_no_code(record)
