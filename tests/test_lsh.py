"""LSH attention: its sets by brute force, its rounds as the paper joins them, its limits, and what it never makes."""

import math

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from planting import load

from attn_edu.core import scaled_dot_product
from attn_edu.memory import Largest
from attn_edu.sparse import LshAttention, angular_hash, lsh_attention, lsh_meetings

OPTIONS = {"buckets": (2, 4), "chunk": 4}


def drawn(length=23, rounds=3, width=6, seed=0, buckets=(2, 4)):
    rng = np.random.default_rng(seed)
    rotations = rng.normal(size=(rounds, width, sum(buckets) // 2))
    return rng.normal(size=(2, length, width)), rng.normal(size=(2, length, 5)), rotations


def layer(rotations, **options):
    module = LshAttention(rotations.shape[1], len(rotations), **options).double()
    module.load_state_dict({"rotations": torch.from_numpy(rotations)})
    return module


def sorted_by_hand(bucket, chunk, causal):
    """Whom each position meets, by going through the sorted chunks one position at a time."""
    order = sorted(range(len(bucket)), key=lambda i: (bucket[i], i))
    chunks = [order[start : start + chunk] for start in range(0, len(order), chunk)]
    meets = np.zeros((len(bucket), len(bucket)), bool)
    for n, members in enumerate(chunks):
        for i in members:
            for j in (chunks[n - 1] if n else []) + members:
                meets[i, j] = bucket[i] == bucket[j] and (j < i if causal else j != i)
    return meets


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("chunk", [1, 3, 8, 40])
def test_meetings_are_those_of_sorted_chunks(chunk, causal):
    rng = np.random.default_rng(chunk)
    for length in (0, 1, 2, 13, 24):
        bucket = rng.integers(0, 3, size=(2, 3, length))
        wanted = [sum(sorted_by_hand(one, chunk, causal).astype(int) for one in rounds) for rounds in bucket]
        assert_array_equal(
            lsh_meetings(bucket, chunk=chunk, causal=causal), np.array(wanted).reshape(2, length, length)
        )


def rounds_joined(shared, value, meets, bend=0.0):
    """Equation by equation as the paper joins rounds: each with log N subtracted, then by their log-sum-exps."""
    key = shared / np.linalg.norm(shared, axis=-1, keepdims=True)
    counted = np.where(np.sum(meets, 0) > 0, np.sum(meets, 0), 1)
    scores = shared @ key.T / math.sqrt(shared.shape[-1]) - (1 - bend) * np.log(counted)
    outputs, sums = [], []
    for one in meets:
        one = one | (~np.any(meets, axis=(0, 2))[:, None] & np.eye(len(shared), dtype=bool))
        powers = np.where(one, np.exp(scores), 0)
        total = powers.sum(-1, keepdims=True)
        outputs.append(powers / np.where(total == 0, 1, total) @ value)
        sums.append(np.log(total, out=np.full_like(total, -np.inf), where=total > 0))
    share = np.exp(np.array(sums) - np.log(np.exp(sums).sum(0)))
    return (share * outputs).sum(0)


@pytest.mark.parametrize("causal", [False, True])
def test_rounds_join_to_one_softmax_once_repeats_are_taken_off(causal):
    shared, value, rotations = drawn()
    bucket = angular_hash(shared[0], rotations, OPTIONS["buckets"])
    meets = np.array([sorted_by_hand(one, OPTIONS["chunk"], causal) for one in bucket])
    assert np.sum(meets, 0).max() > 1, "no pair meets twice: nothing is tested"
    ours = lsh_attention(shared[0], value[0], rotations=rotations, causal=causal, **OPTIONS)[0]
    assert_allclose(ours, rounds_joined(shared[0], value[0], meets), rtol=1e-12)
    assert not np.allclose(ours, rounds_joined(shared[0], value[0], meets, bend=1.0)), "log N changes nothing here"


def test_hash_ignores_length_and_opposites_share_no_bucket():
    x, _, rotations = drawn(length=200)
    bucket = angular_hash(x, rotations, (2, 4))
    assert_array_equal(bucket, angular_hash(x * 7.5, rotations, (2, 4)))
    assert np.all(bucket != angular_hash(-x, rotations, (2, 4)))
    assert bucket.min() == 0 and bucket.max() == 7
    first = angular_hash(x, rotations[..., :1])  # which leaves two buckets
    second = angular_hash(x, rotations[..., 1:], (4,))
    assert_array_equal(bucket, first + 2 * second)


def test_both_forms_hash_alike():
    x, _, rotations = drawn(length=300, rounds=4)
    ours = layer(rotations, **OPTIONS).hash(torch.from_numpy(x))
    assert_array_equal(ours, angular_hash(x, rotations, OPTIONS["buckets"]))
    x, _, rotations = drawn(length=300, rounds=4, buckets=(2, 4, 6))
    ours = layer(rotations, buckets=(2, 4, 6), chunk=4).hash(torch.from_numpy(x[0]))
    assert_array_equal(ours, angular_hash(x[0], rotations, (2, 4, 6)))


@pytest.mark.parametrize("need_weights", [True, False])
def test_buckets_may_be_given(need_weights):
    shared, value, rotations = drawn()
    module, tensors = layer(rotations, **OPTIONS), [torch.from_numpy(x) for x in (shared, value)]
    bucket = module.hash(tensors[0])
    same = module(*tensors, need_weights=need_weights, bucket=bucket)[0]
    assert_array_equal(same, module(*tensors, need_weights=need_weights)[0])
    assert not np.allclose(module(*tensors, need_weights=need_weights, bucket=torch.zeros_like(bucket))[0], same)


def test_near_vectors_collide_more_often():
    rng = np.random.default_rng(0)
    rates = []
    for angle in (0.1, 0.4, 0.8, 1.6):
        pair = np.array([[1.0, 0, 0, 0], [math.cos(angle), math.sin(angle), 0, 0]])
        bucket = angular_hash(pair, rng.normal(size=(4000, 4, 4)))
        rates.append(np.mean(bucket[:, 0] == bucket[:, 1]))
    assert (
        rates == sorted(rates, reverse=True) and rates[0] > 0.85 and rates[-1] < 0.15
    )  # one in eight at a right angle


def test_one_bucket_in_one_chunk_is_full_attention_to_the_others():
    shared, value, _ = drawn()
    shared[..., 0] = np.abs(shared[..., 0]) + 1  # so that all fall on one side of the one column
    rotations = np.zeros((1, 6, 1))
    rotations[0, 0] = 1.0
    key = shared / np.linalg.norm(shared, axis=-1, keepdims=True)
    for causal in (False, True):
        output, _ = lsh_attention(shared, value, rotations=rotations, buckets=(2,), chunk=23, causal=causal)
        others = ~np.eye(23, dtype=bool)
        wanted = scaled_dot_product(shared, key, value, attn_mask=others, causal=causal)[0]
        wanted[:, 0] = value[:, 0] if causal else wanted[:, 0]  # the first is alone
        assert_allclose(output, wanted, rtol=1e-12)


def test_more_rounds_only_add_pairs():
    shared, _, rotations = drawn(rounds=8, length=60)
    bucket = angular_hash(shared, rotations, OPTIONS["buckets"])
    seen = [np.mean(lsh_meetings(bucket[:, :n], chunk=4) > 0) for n in (1, 2, 4, 8)]
    assert seen == sorted(set(seen))


def test_a_later_position_moves_the_chunks_of_earlier_ones():
    """Why `causal_when_asked` is claimed to fail: nobody attends to the future, and yet it chooses."""
    shared = np.array([[1.0, 0.0]] * 4 + [[0.0, 1.0]])
    value = np.arange(5.0)[:, None]
    options = {"rotations": np.eye(2)[None], "buckets": (4,), "chunk": 2, "causal": True}
    before, weights = lsh_attention(shared, value, **options)
    assert np.all(np.triu(weights, 1) == 0)
    moved = shared.copy()
    moved[2:] *= -1  # two of the bucket, and the last, now sort elsewhere
    after = lsh_attention(moved, value, **options)[0]
    assert_allclose(after[:2], before[:2])  # here the borders stay
    first = shared[[4, 0, 1, 2, 3]]  # bucket 0: positions 1 to 4; then let the last sort before them
    pushed = first.copy()
    pushed[0] = [1.0, 0.0]
    assert not np.allclose(lsh_attention(first, value, **options)[0][4], lsh_attention(pushed, value, **options)[0][4])


def test_never_a_square_and_counted_scores_linear_in_length():
    for length in (256, 512):
        shared, value = (torch.randn(1, length, 8, requires_grad=True) for _ in range(2))
        module = LshAttention(8, 2, (4, 4), 16)
        with Largest() as largest:
            module(shared, value, need_weights=False)[0].sum().backward()
        assert largest.elements <= 2 * length * 32 < length * length  # two rounds of codes, or one of scores


@pytest.mark.parametrize("length", [0, 1, 5, 64, 67])
@pytest.mark.parametrize("causal", [False, True])
def test_fast_form_equals_the_definition(length, causal):
    for seed in range(3):
        shared, value, rotations = drawn(length, seed=seed)
        module = layer(rotations, causal=causal, **OPTIONS)
        output = module(torch.from_numpy(shared), torch.from_numpy(value), need_weights=False)[0]
        assert_allclose(
            output, lsh_attention(shared, value, rotations=rotations, causal=causal, **OPTIONS)[0], atol=1e-12
        )


def test_no_bucket_is_the_one_before_the_first_chunk():
    """What stands there has a code of its own; with so many buckets, each number from 0 to some hundreds is in use."""
    shared, value, rotations = drawn(length=40, rounds=16, buckets=(128,))
    options = {"buckets": (128,), "chunk": 40}
    output = layer(rotations, **options)(torch.from_numpy(shared), torch.from_numpy(value), need_weights=False)[0]
    assert_allclose(output, lsh_attention(shared, value, rotations=rotations, **options)[0], atol=1e-12)


def test_works_in_slices_of_the_batch(monkeypatch):
    from attn_edu.sparse import _hashed_attention

    shared, value, rotations = drawn()
    wanted = lsh_attention(shared, value, rotations=rotations, **OPTIONS)[0]
    for rows, held in ((1, 1), (23, 200), (10**6, 10**6)):
        monkeypatch.setitem(_hashed_attention.ROWS, "cpu", rows)
        monkeypatch.setitem(_hashed_attention.HELD, "cpu", held)
        tensors = [torch.from_numpy(x).requires_grad_() for x in (shared, value)]
        module = layer(rotations, **OPTIONS)
        output = module(*tensors, need_weights=False)[0]
        assert_allclose(output.detach(), wanted, atol=1e-12)
        explicit = module(*tensors)[0]
        pull = torch.linspace(-1, 2, output.numel(), dtype=torch.float64).reshape(output.shape)
        pairs = (torch.autograd.grad((x * pull).sum(), tensors) for x in (output, explicit))
        for ours, true in zip(*pairs, strict=True):
            assert_allclose(ours, true, atol=1e-11)


def test_a_vector_of_zeros_is_a_key_like_any_other():
    shared, value, rotations = drawn()
    shared[:, 3] = 0
    tensors = [torch.from_numpy(x).requires_grad_() for x in (shared, value)]
    output = layer(rotations, **OPTIONS)(*tensors, need_weights=False)[0]
    assert_allclose(output.detach(), lsh_attention(shared, value, rotations=rotations, **OPTIONS)[0], atol=1e-12)
    output.sum().backward()
    assert all(torch.isfinite(x.grad).all() for x in tensors)


BLOCKS = "sparse/_hashed_attention.py"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("other >= own if causal", "other > own if causal"),
        ("hidden -= differ(*before, space)", "pass"),
        ("+ len(earlier))\n", ")\n"),
        ("d_query += d_key.sub_(unit * (unit * d_key).sum(-1, keepdim=True))", "d_query += d_key"),
        ("d_value += grad.masked_fill", "0 * grad.masked_fill"),
        ("whole[at] += part[..., :chunk, :]", "pass"),
        ("output.where((total > -math.inf).unsqueeze(-1), value)", "output"),
        ("buckets * (count + 2) + place // chunk", "buckets * (count + 2)"),
        ("buckets * (count + 2) + place // chunk", "place // chunk"),
        (".bitwise_and_(-2)", ""),
    ],
)
def test_planted_faults_are_seen(old, new):
    fault = load(BLOCKS, [(old, new)])
    wrong = load("sparse/_lsh_attention.py", HashedAttention=fault.HashedAttention, make_plan=fault.make_plan)
    caught = False
    for causal in (True, False):
        shared, value, rotations = drawn(length=40)
        tensors = [torch.from_numpy(x).requires_grad_() for x in (shared, value)]
        grads = []
        for made in (wrong, None):
            cls = made.LshAttention if made else LshAttention
            module = cls(6, 3, causal=causal, **OPTIONS).double()
            module.load_state_dict({"rotations": torch.from_numpy(rotations)})
            output = module(*tensors, need_weights=made is None)[0]
            pull = torch.linspace(-1, 2, output.numel(), dtype=torch.float64).reshape(output.shape)
            grads.append([output.detach(), *torch.autograd.grad((output * pull).sum(), tensors)])
        caught |= any(not torch.allclose(a, b, atol=1e-10) for a, b in zip(*grads, strict=True))
    assert caught
