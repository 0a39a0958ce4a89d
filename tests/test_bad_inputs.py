"""What every public function says to what it cannot take: a row for each bad argument, with its exact error.

Mechanisms have their rows in `contract.bad_inputs`, figures in the `REFUSED` of their own tests.
"""

import importlib
import inspect
import pkgutil
from collections import OrderedDict
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pytest
import test_figures
import torch
from torch import nn

import attn_edu
import attn_edu.exercises
import attn_edu.mechanism
from attn_edu.catalogue import mechanisms
from attn_edu.core import WeightedSum, weighted_sum
from attn_edu.interactive import Figure
from attn_edu.measured import FOLDER
from attn_edu.models import Cache
from attn_edu.properties import PROPERTIES
from attn_edu.tasks import ENGLISH, SOVIC


class Free(NamedTuple):
    """A parameter without bad values, and why."""

    name: str
    reason: str


def whole(name, least=1):
    """What is refused in place of an integer of at least so much."""
    kinds = ((2.0, "float"), (True, "bool"), (None, "NoneType"), ("2", "str"))
    refused = [(TypeError, f"{name}: wanted an integer, got {kind}", {name: value}) for value, kind in kinds]
    less = least - 1
    return [*refused, (ValueError, f"{name}: wanted an integer of at least {least}, got {less}", {name: less})]


def flag(name):
    """What is refused in place of True or False."""
    return [(TypeError, f"{name}: wanted True or False, got {value!r}", {name: value}) for value in (1, "yes", None)]


def generator(name="rng"):
    """What is refused in place of NumPy's source of randomness."""
    return [
        (TypeError, f"{name}: wanted a numpy.random.Generator, got {type(value).__name__}", {name: value})
        for value in (0, None, np.random)
    ]


def words(name, kind, limit, axes="(..., L)"):
    """What is refused in place of numbers of words below a limit."""
    made = {"torch.Tensor": torch.tensor, "NumPy array": np.array}[kind]
    typed = [
        ([[1, 2]], "list"),
        (None, "NoneType"),
        *((made([[x]]), f"dtype {made([[x]]).dtype}") for x in (1.0, True, 1j)),
    ]
    few = made(1) if axes == "(..., L)" else made([1])
    return [
        *((TypeError, f"{name}: wanted a {kind} of integers, got {got}", {name: bad}) for bad, got in typed),
        (ValueError, f"{name}: wanted shape {axes}, got {tuple(few.shape)}", {name: few}),
        (ValueError, f"{name}: wanted 0 to {limit - 1}, got -1 to 2", {name: made([[-1, 2]])}),
        (ValueError, f"{name}: wanted 0 to {limit - 1}, got 1 to {limit}", {name: made([[1, limit]])}),
    ]


def tensor(name, *shape):
    """What is refused in place of a tensor of this shape."""
    return [
        (TypeError, f"{name}: wanted a torch.Tensor, got list", {name: [[1.0]]}),
        (TypeError, f"{name}: wanted a torch.Tensor, got ndarray", {name: np.ones(shape)}),
        (TypeError, f"{name}: wanted floating-point numbers, got dtype torch.int64", {name: integers(*shape)}),
    ]


def mask(name, *shape):
    """What is refused in place of a mask that broadcasts to this shape."""
    queries, keys = shape[-2:]
    misfit = f"{name}: wanted a shape that broadcasts to {shape}, got {(queries, keys + 1)}"
    booleans = f"{name}: wanted booleans, True = may attend, got dtype torch.float32"
    return [
        (TypeError, f"{name}: wanted a torch.Tensor, got list", {name: [True]}),
        (TypeError, booleans, {name: ones(queries, keys)}),
        (ValueError, misfit, {name: truths(queries, keys + 1)}),
    ]


def ones(*shape):
    return torch.ones(shape)


def doubles(*shape):
    return torch.ones(shape, dtype=torch.float64)


def integers(*shape):
    return torch.ones(shape, dtype=torch.long)


def truths(*shape):
    return torch.ones(shape, dtype=torch.bool)


RNG = np.random.default_rng(0)
RECORDS = mechanisms()
NAMES = ", ".join(record.name for record in RECORDS)
SHOWN = ", ".join(f"{each.family}.{each.name}" for each in RECORDS) + ", its PyTorch module or its record"
MEASURED = ", ".join(sorted({path.stem[11:].rpartition("-")[0] for path in FOLDER.glob("*.json")}))
IDS, NP_WORDS = torch.tensor([[1, 2, 3]]), np.array([[1, 4, 7]])  # the second begins a sentence: START the small
NEED = Free("need_weights", "only asked whether it is true")
NAME = Free("name", "the text that the message begins with")
LABEL = Free("what", "any text, which the message shows")
MODEL = {"d_model": 4, "heads": 2, "d_hidden": 8}
BLOCK = [
    *whole("d_model"),
    *whole("heads"),
    (ValueError, "heads: wanted a divisor of d_model = 4, got 3", {"heads": 3}),
    *whole("d_hidden"),
    *flag("norm_first"),
]
HEATMAP = {"weights": np.ones((2, 2)) / 2, "queries": None, "keys": None, "ax": None, "title": None, "bar": False}
ROWS = [{"name": "a", "length": length, "seconds": length * 1e-3} for length in (8, 16)]
ASKED = {"x": ones(3, 4), "memory": ones(2, 4)}
LINE = nn.Linear(2, 2)
TRAIN = {
    "model": LINE,
    "batches": [(1.0,)],
    "loss": lambda model, x: model.weight.sum() * x,
    "optimizer": torch.optim.SGD(LINE.parameters(), lr=0.1),
    "progress": False,
}
READ = [
    {"tokens": IDS, "present": None, "need_weights": True},
    *words("tokens", "torch.Tensor", 5),
    (TypeError, "present: wanted a torch.Tensor of booleans, got list", {"present": [True]}),
    (TypeError, "present: wanted a torch.Tensor of booleans, got dtype torch.float32", {"present": ones(1, 3)}),
    (ValueError, "present: wanted shape (1, 3), got (1, 2)", {"present": truths(1, 2)}),
    NEED,
]

# What is given to the constructors of mechanisms, whose bad calls are the contract's.
BUILT = {
    "recurrent.LSTMN": {"d_in": 2, "width": 3},
    "recurrent.LSTMNDeepFusion": {"d_in": 2, "width": 3},
    "selection.HardAttention": {"d_query": 2, "d_key": 3, "width": 4},
    "selection.LocalP": {"d_query": 2, "d_key": 2, "width": 2, "D": 2},
    "sparse.LshAttention": {"d_k": 2, "rounds": 1, "buckets": (4,), "chunk": 2},
}

# First a call that is right; then (error, message, what is wrong in the call) in the order of the parameters.
# fmt: off
TABLE = {
    "catalogue.find": [
        {"name": "dot"},
        (ValueError, f"name: wanted one of {NAMES}, got 'dots'", {"name": "dots"}),
        (ValueError, f"name: wanted one of {NAMES}, got ['dot']", {"name": ["dot"]}),
    ],
    "checks.check_arrays": [
        {"kind": np.ndarray, "pattern": "x: L d, y: L", "arrays": {"x": np.ones((2, 3)), "y": np.ones(2)}},
        Free("kind", "one of two that our own calls name"),
        Free("pattern", "written in our own calls"),
        (TypeError, "x: wanted a NumPy array, got list", {"arrays": {"x": [1.0], "y": np.ones(2)}}),
        (ValueError, "y: wanted shape (L) with L = 2 as in x, got (3,)",
         {"arrays": {"x": np.ones((2, 3)), "y": np.ones(3)}}),
    ],
    "checks.check_mask": [
        {"kind": np.ndarray, "attn_mask": np.ones((2, 3), bool), "shape": (2, 3), "name": "attn_mask"},
        Free("kind", "one of two that our own calls name"),
        NAME,
        (TypeError, "attn_mask: wanted a NumPy array, got list", {"attn_mask": [[True] * 3] * 2}),
        (TypeError, "attn_mask: wanted booleans, True = may attend, got dtype float64", {"attn_mask": np.ones((2, 3))}),
        (ValueError, "attn_mask: wanted a shape that broadcasts to (2, 3), got (2, 4)",
         {"attn_mask": np.ones((2, 4), bool)}),
        (ValueError, "attn_mask: wanted a shape that broadcasts to (3, 3), got (2, 3)", {"shape": (3, 3)}),
    ],
    "checks.check_number": [
        {"name": "n", "number": 1.0},
        NAME,
        (TypeError, "n: wanted a number, got str", {"number": "1"}),
        (TypeError, "n: wanted a number, got bool", {"number": True}),
        (TypeError, "n: wanted a number, got NoneType", {"number": None}),
        (TypeError, "n: wanted a number, got complex", {"number": 1j}),
    ],
    "checks.check_positive": [
        {"name": "n", "number": 1.0},
        NAME,
        (TypeError, "n: wanted a number, got str", {"number": "1"}),
        (TypeError, "n: wanted a number, got bool", {"number": True}),
        (ValueError, "n: wanted a finite number above 0, got 0", {"number": 0}),
        (ValueError, "n: wanted a finite number above 0, got nan", {"number": float("nan")}),
        (ValueError, "n: wanted a finite number above 0, got inf", {"number": float("inf")}),
    ],
    "checks.check_flag": [{"name": "flag", "flag": True}, NAME, *flag("flag")],
    "checks.check_choice": [
        {"name": "n", "choice": "a", "choices": ("a", "b")},
        NAME,
        (ValueError, "n: wanted one of 'a', 'b', got 'c'", {"choice": "c"}),
        (ValueError, "n: wanted one of 'a', 'b', got None", {"choice": None}),
        (ValueError, "n: wanted one of 'b', got 'a'", {"choices": ("b",)}),
    ],
    "checks.check_width": [
        {"name": "width", "width": 1, "least": 1},
        NAME,
        *whole("width"),
        (ValueError, "width: wanted an integer of at least 2, got 1", {"least": 2}),
    ],
    "checks.check_divides": [
        {"name": "parts", "parts": 2, "widths": {"d": 4}},
        NAME,
        *whole("parts"),
        (ValueError, "parts: wanted a divisor of d = 4, got 3", {"parts": 3}),
        (ValueError, "parts: wanted a divisor of d = 5, got 2", {"widths": {"d": 5}}),
    ],
    "checks.check_rng": [{"rng": RNG}, *generator()],
    "checks.check_is": [
        {"name": "n", "thing": 1, "kind": int, "wanted": "an int"},
        NAME,
        (TypeError, "n: wanted an int, got str", {"thing": "1"}),
        (TypeError, "n: wanted an int, got int", {"kind": str}),
        Free("wanted", "a text of the message"),
    ],
    "checks.check_truths": [
        {"kind": np.ndarray, "name": "n", "truths": np.array([True]), "shape": (1,)},
        Free("kind", "one of two that our own calls name"),
        NAME,
        (TypeError, "n: wanted a NumPy array of booleans, got list", {"truths": [True]}),
        (TypeError, "n: wanted a NumPy array of booleans, got dtype int64", {"truths": np.array([1])}),
        (ValueError, "n: wanted shape (1,), got (1, 1)", {"truths": np.array([[True]])}),
        (ValueError, "n: wanted shape (2,), got (1,)", {"shape": (2,)}),
    ],
    "checks.check_word": [
        {"name": "word", "word": 2, "words": 5},
        NAME,
        *whole("word", 0),
        (ValueError, "word: wanted 0 to 4, got 5", {"word": 5}),
        (ValueError, "word: wanted 0 to 1, got 2", {"words": 2}),
    ],
    "checks.check_words": [
        {"kind": np.ndarray, "name": "ids", "ids": np.array([[1, 2]]), "words": 5, "axes": "(N, T)", "some": False},
        Free("kind", "one of two that our own calls name"),
        NAME,
        *words("ids", "NumPy array", 5, "(N, T)"),
        (ValueError, "ids: wanted 0 to 1, got 1 to 2", {"words": 2}),
        (ValueError, "ids: wanted shape (T), got (1, 2)", {"axes": "(T)"}),
        (ValueError, "ids: wanted at least one word in a row, got none", {"ids": np.ones((2, 0), int), "some": True}),
    ],
    "costs.operations": [{"length": 3, "width": 2}, *whole("length"), *whole("width")],
    "costs.held_bytes": [
        {"length": 3, "heads": 1, "number": 4, "tile": 2},
        *whole("length"), *whole("heads"), *whole("number"), *whole("tile"),
    ],
    "costs.moved_bytes": [
        {"length": 3, "width": 2, "heads": 1, "number": 4, "tile": 2},
        *whole("length"), *whole("width"), *whole("heads"), *whole("number"), *whole("tile"),
    ],
    "exercises.Exercise": [
        {"question": "How much?", "judge": bool, "hints": ("A lot.",)},
        (TypeError, "question: wanted a text, got NoneType", {"question": None}),
        (TypeError, "judge: wanted a function of the answer, got str", {"judge": "yes"}),
        (TypeError, "hints: wanted a tuple of texts, got 'A lot.'", {"hints": "A lot."}),
        (TypeError, "hints: wanted a tuple of texts, got ['A lot.']", {"hints": ["A lot."]}),
        (TypeError, "hints: wanted a tuple of texts, got (1,)", {"hints": (1,)}),
    ],
    "exercises.check": [
        {"exercise": attn_edu.exercises.Exercise("?", lambda answer: None), "answer": 1},
        (TypeError, "exercise: wanted an Exercise, got str", {"exercise": "how much"}),
        (TypeError, "judge: wanted None or a text from it, got int",
         {"exercise": attn_edu.exercises.Exercise("?", lambda answer: 3)}),
        Free("answer", "whatever a learner writes is judged"),
    ],
    "exercises.expect_close": [
        {"answer": 1.0, "wanted": 1.0, "what": "answer", "rtol": 1e-5, "atol": 1e-6},
        Free("answer", "whatever a learner writes is judged"),
        (ValueError, "wanted: wanted numbers, got rows of different lengths, [[1.0], [2.0, 3.0]] (list)",
         {"wanted": [[1.0], [2.0, 3.0]]}),
        (TypeError, "wanted: wanted numbers, got 'one' (str)", {"wanted": "one"}),
        LABEL,
        (TypeError, "rtol: wanted a number, got str", {"rtol": "small"}),
        (ValueError, "rtol: wanted a finite number of at least 0, got -1.0", {"rtol": -1.0}),
        (TypeError, "atol: wanted a number, got NoneType", {"atol": None}),
        (ValueError, "atol: wanted a finite number of at least 0, got nan", {"atol": float("nan")}),
    ],
    "exercises.expect_equal": [
        {"answer": "keys", "wanted": "keys", "what": "answer"},
        Free("answer", "whatever a learner writes is judged"),
        (TypeError, "wanted: wanted a text, a number or a boolean, got NoneType", {"wanted": None}),
        (TypeError, "wanted: wanted a text, a number or a boolean, got list", {"wanted": ["keys"]}),
        LABEL,
    ],
    "exercises.expect_function": [
        {"answer": abs, "wanted": abs, "cases": ((-1.0,),), "what": "f", "rtol": 1e-5, "atol": 1e-6},
        Free("answer", "whatever a learner writes is judged"),
        (TypeError, "wanted: wanted a function, got float", {"wanted": 1.0}),
        (ValueError, "cases: wanted at least one, got none", {"cases": ()}),
        (TypeError, "cases: wanted tuples of arguments, got float", {"cases": (1.0,)}),
        LABEL,
        (TypeError, "rtol: wanted a number, got str", {"rtol": "small"}),
        (ValueError, "atol: wanted a finite number of at least 0, got -1.0", {"atol": -1.0}),
    ],
    "measured.results": [
        {"name": "axial", "allocator": "default"},
        (ValueError, f"name: wanted one of {MEASURED}, got 'axials'", {"name": "axials"}),
        (ValueError, f"name: wanted one of {MEASURED}, got ['axial']", {"name": ["axial"]}),
        (ValueError, "allocator: wanted one of default, tuned for 'axial', got 'jemalloc'", {"allocator": "jemalloc"}),
        (ValueError, "allocator: wanted one of default, tuned for 'axial', got None", {"allocator": None}),
    ],
    "mechanism.claims": [
        {"holds": "a", "fails": "b", "does_not_apply": {"c": "why"}},
        (TypeError, "holds: wanted a text of names, got list", {"holds": ["a"]}),
        (TypeError, "fails: wanted a text of names, got list", {"fails": ["b"]}),
        (TypeError, "does_not_apply: wanted a mapping of names to reasons, got str", {"does_not_apply": "c"}),
    ],
    "mechanism.draw_mask": [
        {"rng": RNG, "queries": 2, "keys": 3},
        *generator(), *whole("queries", 0), *whole("keys", 0),
    ],
    "mechanism.draw_query_key_value": [
        {"rng": RNG, "sizes": attn_edu.mechanism.Sizes()},
        *generator(),
        (TypeError, "sizes: wanted a Sizes, got tuple", {"sizes": (2, 3)}),
    ],
    "memory.largest_tensor": [
        {"call": lambda: None},
        (TypeError, "call: wanted a function without arguments, got Tensor", {"call": ones(2)}),
        (TypeError, "call: wanted a function without arguments, got NoneType", {"call": None}),
    ],
    "models.Embedding": [{"vocabulary": 5, "d_model": 4}, *whole("vocabulary"), *whole("d_model")],
    "models.Embedding.forward": [
        {"tokens": IDS, "start": 0},
        *words("tokens", "torch.Tensor", 5),
        *whole("start", 0),
    ],
    "models.EncoderBlock": [
        {**MODEL, "norm_first": False},
        *BLOCK,
    ],
    "models.EncoderBlock.forward": [
        {"x": ones(3, 4), "attn_mask": None, "need_weights": True, "cache": None},
        *tensor("x", 3, 4),
        (TypeError, "W_Q: wanted dtype torch.float64 as in x, got torch.float32", {"x": doubles(3, 4)}),
        (ValueError, "W_Q: wanted shape (d_model, d_model) with d_model = 5 as in x, got (4, 4)", {"x": ones(3, 5)}),
        (ValueError, "x: wanted shape (*, L, d_model), got (4,)", {"x": ones(4)}),
        (ValueError, "W_Q: wanted shape (d_model, d_model) with d_model = 5 as in x, got (4, 4)",
         {"x": ones(3, 5), "cache": Cache()}),
        *mask("attn_mask", 2, 3, 3),
        NEED,
        (TypeError, "cache: wanted a Cache, got bool", {"cache": True}),
    ],
    "models.EncoderBlock.steps": [
        {"x": ones(3, 4), "attn_mask": None},
        *tensor("x", 3, 4),
        (ValueError, "W_Q: wanted shape (d_model, d_model) with d_model = 5 as in x, got (4, 4)", {"x": ones(3, 5)}),
        *mask("attn_mask", 2, 3, 3),
    ],
    "models.DecoderBlock": [
        {**MODEL, "norm_first": False},
        *BLOCK,
    ],
    "models.DecoderBlock.forward": [
        {**ASKED, "attn_mask": None, "memory_mask": None, "need_weights": True, "cache": None},
        *tensor("x", 3, 4),
        (ValueError, "memory: wanted shape (*, M, d_model) with d_model = 5 as in x, got (2, 4)", {"x": ones(3, 5)}),
        *tensor("memory", 2, 4),
        (TypeError, "memory: wanted dtype torch.float32 as in x, got torch.float64", {"memory": doubles(2, 4)}),
        (ValueError, "memory: wanted shape (*, M, d_model) with d_model = 4 as in x, got (2, 5)",
         {"memory": ones(2, 5)}),
        (ValueError, "memory: wanted shape (*, M, d_model) with * = () as in x, got (7, 2, 4)",
         {"memory": ones(7, 2, 4)}),
        *mask("attn_mask", 2, 3, 3),
        *mask("memory_mask", 2, 3, 2),
        NEED,
        (TypeError, "cache: wanted a Cache, got bool", {"cache": True}),
    ],
    "models.Encoder": [
        {"vocabulary": 5, **MODEL, "blocks": 1, "norm_first": False},
        *whole("vocabulary"),
        *BLOCK,
        *whole("blocks"),
    ],
    "models.Encoder.encode": READ,
    "models.Encoder.forward": READ,
    "models.Decoder": [
        {"vocabulary": 5, **MODEL, "blocks": 1, "norm_first": False},
        *whole("vocabulary"),
        *BLOCK,
        *whole("blocks"),
    ],
    "models.Decoder.forward": [
        {"tokens": IDS, "cache": None, "need_weights": True},
        *words("tokens", "torch.Tensor", 5),
        (TypeError, "cache: wanted a Cache, got bool", {"cache": True}),
        NEED,
    ],
    "models.Decoder.next_log_probs": [
        {"prefixes": np.array([[1, 2]])},
        *words("prefixes", "NumPy array", 5, "(b, t)"),
        (ValueError, "prefixes: wanted at least one word in a row, got none", {"prefixes": np.ones((2, 0), int)}),
    ],
    "models.Decoder.multiplications": [{"length": 3, "cached": True}, *whole("length"), *flag("cached")],
    "models.EncoderDecoder": [
        {"source_vocabulary": 5, "target_vocabulary": 6, **MODEL, "blocks": 1, "norm_first": False},
        *whole("source_vocabulary"), *whole("target_vocabulary"),
        *BLOCK,
        *whole("blocks"),
    ],
    "models.EncoderDecoder.decode": [
        {"target": IDS, "memory": ones(1, 2, 4), "present": None, "cache": None, "need_weights": True},
        *words("target", "torch.Tensor", 6),
        (TypeError, "memory: wanted a torch.Tensor, got NoneType", {"memory": None}),
        (ValueError, "table: wanted shape (V, d_model) with d_model = 5 as in memory, got (6, 4)",
         {"memory": ones(1, 2, 5)}),
        (ValueError, "memory: wanted the batch axes (1,) as in target, got (7,)", {"memory": ones(7, 2, 4)}),
        (TypeError, "present: wanted a torch.Tensor of booleans, got dtype torch.float32", {"present": ones(1, 2)}),
        (ValueError, "present: wanted shape (1, 2), got (1, 3)", {"present": truths(1, 3)}),
        (TypeError, "cache: wanted a Cache, got bool", {"cache": True}),
        NEED,
    ],
    "models.EncoderDecoder.forward": [
        {"source": IDS, "target": IDS, "present": None, "need_weights": True},
        *words("source", "torch.Tensor", 5),
        *words("target", "torch.Tensor", 6),
        (ValueError, "target: wanted the batch axes (1,) as in source, got (2,)", {"target": torch.tensor([[1], [2]])}),
        (TypeError, "present: wanted a torch.Tensor of booleans, got list", {"present": [True]}),
        (ValueError, "present: wanted shape (1, 3), got (1, 2)", {"present": truths(1, 2)}),
        NEED,
    ],
    "models.EncoderDecoder.next_log_probs": [
        {"source": np.array([1, 2]), "prefixes": np.array([[1, 2]])},
        *words("source", "NumPy array", 5, "(S)")[:-3],
        (ValueError, "source: wanted shape (S), got (1, 2)", {"source": np.array([[1, 2]])}),
        (ValueError, "source: wanted 0 to 4, got 1 to 5", {"source": np.array([1, 5])}),
        *words("prefixes", "NumPy array", 6, "(b, t)"),
        (ValueError, "prefixes: wanted at least one word in a row, got none", {"prefixes": np.ones((2, 0), int)}),
    ],
    "models.EncoderDecoder.translate": [
        {"source": IDS, "present": None, "start": 1, "end": 2, "pad": 0, "max_length": 3},
        *words("source", "torch.Tensor", 5, "(N, S)"),
        (ValueError, "present: wanted shape (1, 3), got (1, 2)", {"present": truths(1, 2)}),
        *whole("start", 0),
        (ValueError, "start: wanted 0 to 5, got 6", {"start": 6}),
        *whole("end", 0),
        *whole("pad", 0),
        (ValueError, "pad: wanted 0 to 5, got 6", {"pad": 6}),
        *whole("max_length"),
    ],
    "models.beam_search": [
        {
            "next_log_probs": lambda prefixes: np.log(np.full((len(prefixes), 4), 0.25)),
            "start": 0,
            "end": 1,
            "max_length": 2,
            "beams": 2,
        },
        (TypeError, "next_log_probs: wanted a function of prefixes, got ndarray", {"next_log_probs": np.zeros((1, 4))}),
        (ValueError, "next_log_probs: wanted an array of shape (1, V), got ()",
         {"next_log_probs": lambda prefixes: None}),
        (TypeError, "next_log_probs: wanted an array of numbers from it, got str",
         {"next_log_probs": lambda prefixes: "no"}),
        (ValueError, "next_log_probs: wanted an array of shape (1, V), got (4,)",
         {"next_log_probs": lambda prefixes: np.zeros(4)}),
        (ValueError, "next_log_probs: wanted rows whose exponentials sum to 1, got sums [5.13610167]",
         {"next_log_probs": lambda prefixes: np.full((1, 4), 0.25)}),
        *whole("start", 0), *whole("end", 0), *whole("max_length"), *whole("beams"),
    ],
    "models.greedy": [
        {"next_log_probs": lambda prefixes: np.log(np.full((1, 4), 0.25)), "start": 0, "end": 1, "max_length": 2},
        (TypeError, "next_log_probs: wanted a function of prefixes, got ndarray", {"next_log_probs": np.zeros((1, 4))}),
        (TypeError, "next_log_probs: wanted an array of numbers from it, got str",
         {"next_log_probs": lambda prefixes: "no"}),
        (ValueError, "next_log_probs: wanted an array of shape (1, V), got (4,)",
         {"next_log_probs": lambda prefixes: np.zeros(4)}),
        (ValueError, "next_log_probs: wanted rows whose exponentials sum to 1, got sums [5.13610167]",
         {"next_log_probs": lambda prefixes: np.full((1, 4), 0.25)}),
        (ValueError, "next_log_probs: wanted rows whose exponentials sum to 1, got sums [nan]",
         {"next_log_probs": lambda prefixes: np.full((1, 4), np.nan)}),
        *whole("start", 0), *whole("end", 0), *whole("max_length"),
    ],
    "models.ViT": [
        {"side": 4, "patch": 2, "channels": 3, "classes": 5, **MODEL, "blocks": 1},
        *whole("side"), *whole("patch"),
        (ValueError, "patch: wanted a divisor of side = 4, got 3", {"patch": 3}),
        *whole("channels"), *whole("classes"), *whole("d_model"), *whole("heads"),
        (ValueError, "heads: wanted a divisor of d_model = 4, got 3", {"heads": 3}),
        *whole("d_hidden"), *whole("blocks"),
    ],
    "models.ViT.encode": [
        {"x": ones(1, 4, 4, 3), "need_weights": True},
        *tensor("x", 1, 4, 4, 3),
        (ValueError, "x: wanted height and width to be multiples of patch = 2, got 3 × 4", {"x": ones(1, 3, 4, 4)}),
        (ValueError, "x: wanted images of 4 × 4, got 6 × 6", {"x": ones(1, 6, 6, 3)}),
        (ValueError, "x: wanted shape (*, height, width, channels), got (4, 4)", {"x": ones(4, 4)}),
        NEED,
    ],
    "models.ViT.forward": [
        {"x": ones(1, 4, 4, 3), "need_weights": True},
        *tensor("x", 1, 4, 4, 3),
        (ValueError, "x: wanted images of 4 × 4, got 6 × 6", {"x": ones(1, 6, 6, 3)}),
        NEED,
    ],
    "models.LshHeads": [
        {"d_model": 4, "heads": 2, "rounds": 1, "buckets": (4,), "chunk": 2, "causal": False},
        *whole("d_model"), *whole("heads"),
        (ValueError, "heads: wanted a divisor of d_model = 4, got 3", {"heads": 3}),
        *whole("rounds"),
        (TypeError, "buckets: wanted a tuple of even numbers, got 4", {"buckets": 4}),
        (ValueError, "buckets: wanted even numbers, got (3,)", {"buckets": (3,)}),
        *whole("chunk"), *flag("causal"),
    ],
    "models.LshHeads.forward": [
        {"x": ones(3, 4), "bucket": None},
        (TypeError, "x: wanted a torch.Tensor, got list", {"x": [[1.0]]}),
        (ValueError, "W_S: wanted shape (d, d) with d = 5 as in x, got (4, 4)", {"x": ones(3, 5)}),
        (TypeError, "bucket: wanted a torch.Tensor, got list", {"bucket": [0]}),
        (ValueError, "bucket: wanted integers of shape (2, 1, 3), got torch.float32, (2, 1, 3)",
         {"bucket": torch.zeros(2, 1, 3)}),
        (ValueError, "bucket: wanted integers of shape (2, 1, 3), got torch.int64, (2, 1, 4)",
         {"bucket": torch.zeros(2, 1, 4, dtype=torch.long)}),
    ],
    "models.LshHeads.decide": [
        {"x": ones(3, 4), "bucket": None},
        (ValueError, "W_S: wanted shape (d, d) with d = 5 as in x, got (4, 4)", {"x": ones(3, 5)}),
        (ValueError, "bucket: wanted integers of shape (2, 1, 3), got torch.int64, (2, 1, 4)",
         {"bucket": torch.zeros(2, 1, 4, dtype=torch.long)}),
    ],
    "models.Reformer": [
        {
            "vocabulary": 5,
            "max_length": 8,
            **MODEL,
            "layers": 1,
            "rounds": 1,
            "buckets": (4,),
            "chunk": 2,
            "tokens_at_a_time": 4,
            "store": False,
        },
        *whole("vocabulary"), *whole("max_length"), *whole("d_model"), *whole("heads"),
        (ValueError, "heads: wanted a divisor of d_model = 4, got 3", {"heads": 3}),
        *whole("d_hidden"), *whole("layers"), *whole("rounds"),
        (TypeError, "buckets: wanted a tuple of even numbers, got [4]", {"buckets": [4]}),
        *whole("chunk"), *whole("tokens_at_a_time"), *flag("store"),
    ],
    "models.Reformer.forward": [
        {"tokens": IDS},
        *words("tokens", "torch.Tensor", 5),
        (ValueError, "tokens: wanted at most 8 in a row, got 9", {"tokens": integers(1, 9)}),
    ],
    "models.Seq2Seq": [
        {"source_words": 5, "target_words": 6, "width": 4, "attention": None, "both": None},
        *whole("source_words"), *whole("target_words"), *whole("width"),
        (TypeError, "attention: wanted an nn.Module, got function", {"attention": weighted_sum}),
        (TypeError, "attention: wanted an nn.Module, got bool", {"attention": True}),
        (TypeError, "both: wanted True or False, got 1", {"both": 1}),
    ],
    "models.Seq2Seq.encode": [
        {"source": IDS},
        *words("source", "torch.Tensor", 5, "(N, S)"),
        (ValueError, "source: wanted in each row words, at least one, and then padding, which is 0, got [0, 1]",
         {"source": torch.tensor([[0, 1]])}),
        (ValueError, "source: wanted in each row words, at least one, and then padding, which is 0, got [1, 0, 1]",
         {"source": torch.tensor([[1, 0, 1]])}),
        (ValueError, "source: wanted at least one word in a row, got none", {"source": integers(2, 0)}),
    ],
    "models.Seq2Seq.forward": [
        {"source": IDS, "target": IDS, "need_weights": True},
        *words("source", "torch.Tensor", 5, "(N, S)"),
        *words("target", "torch.Tensor", 6, "(N, T)"),
        (ValueError, "target: wanted 1 rows as in source, got 2", {"target": torch.tensor([[1], [2]])}),
        (ValueError, "target: wanted at least one word in a row, got none", {"target": integers(1, 0)}),
        NEED,
    ],
    "models.Seq2Seq.greedy": [
        {"source": IDS, "limit": 2, "start": 1, "end": 2, "need_weights": True},
        *words("source", "torch.Tensor", 5, "(N, S)"),
        *whole("limit"), *whole("start", 0),
        (ValueError, "start: wanted 0 to 5, got 6", {"start": 6}),
        *whole("end", 0),
        NEED,
    ],
    "models.Captioner": [
        {"side": 4, "cell": 2, "words": 5, "width": 4, "attention": attn_edu.selection.SoftAttention(4, 4, 4)},
        *whole("side"), *whole("cell"),
        (ValueError, "cell: wanted a divisor of side = 4, got 3", {"cell": 3}),
        *whole("words"), *whole("width"),
        (TypeError, "attention: wanted an nn.Module, got str", {"attention": "soft"}),
    ],
    "models.Captioner.start": [
        {"images": ones(1, 4, 4, 3)},
        *tensor("images", 1, 4, 4, 3),
        (ValueError, "images: wanted shape (N, H, W, 3), got (1, 3, 4, 4)", {"images": ones(1, 3, 4, 4)}),
        (ValueError, "images: wanted 4 × 4 pixels, got (6, 6)", {"images": ones(1, 6, 6, 3)}),
        (ValueError, "images: wanted shape (N, H, W, c), got (4, 4, 3)", {"images": ones(4, 4, 3)}),
    ],
    "models.Captioner.forward": [
        {"images": ones(1, 4, 4, 3), "captions": IDS, "noise": None, "averaged": None},
        *tensor("images", 1, 4, 4, 3),
        (ValueError, "images: wanted 4 × 4 pixels, got (6, 6)", {"images": ones(1, 6, 6, 3)}),
        *words("captions", "torch.Tensor", 5, "(N, T)"),
        (ValueError, "captions: wanted 1 rows as in images, got 2", {"captions": torch.tensor([[1], [2]])}),
        *tensor("noise", 1, 3, 4),
        (ValueError, "noise: wanted shape (1, 3, 4), got (1, 2, 4)", {"noise": ones(1, 2, 4)}),
        (TypeError, "averaged: wanted a torch.Tensor of booleans, got list", {"averaged": [True]}),
        (TypeError, "averaged: wanted a torch.Tensor of booleans, got dtype torch.float32", {"averaged": ones(1)}),
        (ValueError, "averaged: wanted shape (1,), got (2,)", {"averaged": truths(2)}),
    ],
    "models.Captioner.greedy": [
        {"images": ones(1, 4, 4, 3), "limit": 2, "start": 1, "end": 2},
        (ValueError, "images: wanted 4 × 4 pixels, got (6, 6)", {"images": ones(1, 6, 6, 3)}),
        *whole("limit"), *whole("start", 0),
        (ValueError, "start: wanted 0 to 4, got 5", {"start": 5}),
        *whole("end", 0),
    ],
    "np_ops.may_attend": [
        {"attn_mask": np.ones((2, 3), bool), "causal": False, "shape": (2, 3)},
        (TypeError, "attn_mask: wanted a NumPy array, got list", {"attn_mask": [True]}),
        (TypeError, "attn_mask: wanted booleans, True = may attend, got dtype float64", {"attn_mask": np.ones((2, 3))}),
        (ValueError, "attn_mask: wanted a shape that broadcasts to (2, 3), got (2, 4)",
         {"attn_mask": np.ones((2, 4), bool)}),
        *flag("causal"),
        (ValueError, "attn_mask: wanted a shape that broadcasts to (2, 4), got (2, 3)", {"shape": (2, 4)}),
    ],
    "np_ops.masked_softmax": [
        {"scores": np.ones((2, 3)), "allowed": np.ones((2, 3), bool)},
        (TypeError, "scores: wanted a NumPy array, got list", {"scores": [[1.0]]}),
        (TypeError, "scores: wanted floating-point numbers, got dtype int64", {"scores": np.ones((2, 3), int)}),
        (TypeError, "scores: wanted floating-point numbers, got dtype complex128",
         {"scores": np.ones((2, 3), complex)}),
        (TypeError, "scores: wanted a NumPy array, got float64", {"scores": np.float64(1.0)}),
        (TypeError, "allowed: wanted a NumPy array of booleans, got bool", {"allowed": True}),
        (TypeError, "allowed: wanted a NumPy array of booleans, got dtype float64", {"allowed": np.ones((2, 3))}),
        (ValueError, "allowed: wanted shape (2, 3), got (2, 4)", {"allowed": np.ones((2, 4), bool)}),
    ],
    "plotting.heatmap": [
        HEATMAP,
        (TypeError, "weights: wanted real numbers, got dtype object", {"weights": None}),
        (TypeError, "weights: wanted real numbers, got dtype <U1", {"weights": [["a"]]}),
        (ValueError, "weights: wanted shape (L, S), a row for each query, got rows of different lengths",
         {"weights": [[1.0], [1.0, 2.0]]}),
        (TypeError, "weights: wanted real numbers, got dtype complex128", {"weights": np.ones((2, 2), complex)}),
        (ValueError, "weights: wanted shape (L, S), a row for each query, got (2,)", {"weights": np.ones(2)}),
        (ValueError, "weights: wanted shape (L, S), a row for each query, got (0, 2)", {"weights": np.ones((0, 2))}),
        (ValueError, "weights: wanted shape (L, S), a row for each query, got (1, 2, 2)", {"weights": ones(1, 2, 2)}),
        (ValueError, "weights: wanted finite numbers, got nan or inf", {"weights": [[np.nan]]}),
        (TypeError, "queries: wanted a list of 2 labels, got the text 'ab'", {"queries": "ab"}),
        (ValueError, "queries: wanted 2 labels as in weights, got 1", {"queries": ["a"]}),
        (TypeError, "queries: wanted a list of 2 labels, got int", {"queries": 2}),
        (TypeError, "keys: wanted a list of 2 labels, got the text 'ab'", {"keys": "ab"}),
        (ValueError, "keys: wanted 2 labels as in weights, got 3", {"keys": ["a", "b", "c"]}),
        (TypeError, "ax: wanted matplotlib's Axes, got str", {"ax": "here"}),
        (TypeError, "ax: wanted matplotlib's Axes, got module", {"ax": plt}),
        (TypeError, "title: wanted a text, got int", {"title": 3}),
        *flag("bar"),
    ],
    "plotting.products": [
        {"chains": [({"X": np.eye(2), "W": np.eye(2), "Q": np.eye(2)}, "query")], "rows": None, "cell": 0.4},
        (ValueError, "chains: wanted at least one, got none", {"chains": []}),
        (TypeError, "chains: wanted a list of products, got int", {"chains": 3}),
        (TypeError, "chains: wanted pairs of matrices by name and a role, got dict", {"chains": [{"X": np.eye(2)}]}),
        (TypeError, "chains: wanted pairs of matrices by name and a role, got tuple",
         {"chains": [([np.eye(2)] * 3, "query")]}),
        (ValueError, "chains: wanted two factors and their product at least, got X, Q",
         {"chains": [({"X": np.eye(2), "Q": np.eye(2)}, "query")]}),
        (ValueError, "Q: wanted shape (rows, columns), got (2,)",
         {"chains": [({"X": np.eye(2), "W": np.eye(2), "Q": np.ones(2)}, "query")]}),
        (ValueError, "chains: wanted matrices and their product, got shapes (2, 2), (3, 3), (2, 2)",
         {"chains": [({"X": np.eye(2), "W": np.eye(3), "Q": np.eye(2)}, "query")]}),
        (ValueError, "Q: wanted the product of X, W, got other numbers",
         {"chains": [({"X": np.eye(2), "W": np.eye(2), "Q": np.ones((2, 2))}, "query")]}),
        (ValueError, "chains: wanted matrices and their product, got shapes (2, 2), (2, 2), (3, 3)",
         {"chains": [({"X": np.eye(2), "W": np.eye(2), "Q": np.eye(3)}, "query")]}),
        (ValueError, "role: wanted one of query, key, value, got 'queries'",
         {"chains": [({"X": np.eye(2), "W": np.eye(2), "Q": np.eye(2)}, "queries")]}),
        (TypeError, "rows: wanted a list of 2 labels, got the text 'ab'", {"rows": "ab"}),
        (ValueError, "rows: wanted 2 labels as in X, got 1", {"rows": ["a"]}),
        (ValueError, "cell: wanted a finite number above 0, got 0", {"cell": 0}),
        (TypeError, "cell: wanted a number, got str", {"cell": "wide"}),
    ],
    "plotting.growth": [
        {"rows": ROWS, "names": {"a": "a"}, "of": "seconds", "ax": None, "note": None},
        (TypeError, "rows: wanted a list of results, got dict", {"rows": ROWS[0]}),
        (TypeError, "rows: wanted a list of results, got NoneType", {"rows": None}),
        (ValueError, "rows: wanted name and length in each, got one without length",
         {"rows": [{"name": "a", "seconds": 1.0}]}),
        (ValueError, "names: wanted names with seconds in the rows, got 'a'",
         {"rows": [{"name": "b", "length": 8, "seconds": 1.0}]}),
        (ValueError, "names: wanted 1 to 6 lines, got 0", {"names": {}}),
        (TypeError, "names: wanted a mapping of names in the rows to what to write, got list", {"names": ["a"]}),
        (ValueError, "names: wanted names with seconds in the rows, got 'b'", {"names": {"b": "b"}}),
        (ValueError, "names: wanted 1 to 6 lines, got 7", {"names": {name: name for name in "abcdefg"}}),
        (ValueError, "of: wanted one of seconds, peak_bytes, got 'minutes'", {"of": "minutes"}),
        (ValueError, "of: wanted one of seconds, peak_bytes, got ['seconds']", {"of": ["seconds"]}),
        (TypeError, "ax: wanted matplotlib's Axes, got str", {"ax": "here"}),
        (TypeError, "note: wanted a text, got int", {"note": 3}),
    ],
    "recomputed.reversible_inverse": [
        {
            "y": np.ones((3, 4)),
            "W_Q": np.ones((2, 3)),
            "W_K": np.ones((2, 3)),
            "W_V": np.ones((2, 2)),
            "W_1": np.ones((2, 5)),
            "b_1": np.ones(5),
            "W_2": np.ones((5, 2)),
            "b_2": np.ones(2),
            "causal": False,
        },
        (TypeError, "y: wanted a NumPy array, got list", {"y": [[1.0]]}),
        (ValueError, "y: wanted shape (*, L, 2d) with d = 2 as in W_Q, got (3, 5)", {"y": np.ones((3, 5))}),
        (TypeError, "y: wanted floating-point numbers, got dtype int64", {"y": np.ones((3, 4), int)}),
        (ValueError, "W_Q: wanted shape (d, d_k), got (2,)", {"W_Q": np.ones(2)}),
        (ValueError, "W_K: wanted shape (d, d_k) with d = 2 as in W_Q, got (3, 3)", {"W_K": np.ones((3, 3))}),
        (ValueError, "W_V: wanted shape (d, d) with d = 2 as in W_Q, got (2, 3)", {"W_V": np.ones((2, 3))}),
        (ValueError, "W_1: wanted shape (d, d_hidden) with d = 2 as in W_Q, got (3, 5)", {"W_1": np.ones((3, 5))}),
        (ValueError, "b_1: wanted shape (d_hidden) with d_hidden = 5 as in W_1, got (4,)", {"b_1": np.ones(4)}),
        (ValueError, "W_2: wanted shape (d_hidden, d) with d_hidden = 5 as in W_1, got (4, 2)",
         {"W_2": np.ones((4, 2))}),
        (ValueError, "b_2: wanted shape (d) with d = 2 as in W_Q, got (3,)", {"b_2": np.ones(3)}),
        *flag("causal"),
    ],
    "recomputed.ReversibleStack": [
        {"layers": [(nn.Linear(2, 2), nn.Linear(2, 2))], "store": False},
        (TypeError, "layers: wanted pairs of modules, got int", {"layers": 3}),
        (TypeError, "layers: wanted pairs of modules, got Identity", {"layers": nn.Identity()}),
        (TypeError, "layers: wanted pairs of modules, got Identity()", {"layers": [nn.Identity()]}),
        (TypeError, "layers: wanted pairs of modules, got (Identity(), <built-in function abs>)",
         {"layers": [(nn.Identity(), abs)]}),
        *flag("store"),
    ],
    "recomputed.ReversibleStack.forward": [
        {"x": ones(3, 4)},
        *tensor("x", 3, 4),
        (ValueError, "x: wanted shape (*, L, 2d), got (3, 5)", {"x": ones(3, 5)}),
        (ValueError, "x: wanted shape (*, L, 2d), got (4,)", {"x": ones(4)}),
    ],
    "recomputed.ReversibleStack.inverse": [
        {"y": ones(3, 4)},
        *tensor("y", 3, 4),
        (ValueError, "y: wanted shape (*, L, 2d), got (3, 5)", {"y": ones(3, 5)}),
    ],
    "recurrent.LSTMN.step": [
        {"x": ones(2), "state": ones(0, 3, 3)},
        *tensor("x", 2),
        (ValueError, "W_x: wanted shape (n, d_in) with d_in = 3 as in x, got (3, 2)", {"x": ones(3)}),
        *tensor("state", 0, 3, 3),
        (ValueError, "state: wanted shape (*(), t, 3, 3), got (0, 4, 3)", {"state": ones(0, 4, 3)}),
        (ValueError, "state: wanted shape (*, t, slots, d) with * = () as in x, got (5, 0, 3, 3)",
         {"state": ones(5, 0, 3, 3)}),
        (TypeError, "state: wanted dtype torch.float32 as in x, got torch.float64", {"state": doubles(0, 3, 3)}),
    ],
    "recurrent.LSTMNDeepFusion.step": [
        {"x": ones(2), "key": ones(5, 3), "value": ones(5, 3), "state": ones(0, 4, 3)},
        *tensor("x", 2),
        (ValueError, "W_x: wanted shape (n, d_in) with d_in = 3 as in x, got (3, 2)", {"x": ones(3)}),
        *tensor("key", 5, 3),
        (ValueError, "key: wanted shape (*, S, d) with d = 3 as in W_h, got (5, 2)", {"key": ones(5, 2)}),
        *tensor("value", 5, 3),
        (ValueError, "value: wanted shape (*, S, d) with S = 5 as in key, got (4, 3)", {"value": ones(4, 3)}),
        *tensor("state", 0, 4, 3),
        (ValueError, "state: wanted shape (*(), t, 4, 3), got (0, 3, 3)", {"state": ones(0, 3, 3)}),
    ],
    "selection.doubly_stochastic_penalty": [
        {"weights": np.ones((2, 3)) / 3, "counted": np.array([True, False])},
        (TypeError, "weights: wanted a NumPy array, got list", {"weights": [[0.5, 0.5]], "counted": None}),
        (TypeError, "weights: wanted floating-point numbers, got dtype int64", {"weights": np.ones((2, 3), int)}),
        (ValueError, "weights: wanted shape (*, L, S), got (3,)", {"weights": np.ones(3)}),
        (TypeError, "counted: wanted a NumPy array of booleans, got list", {"counted": [True, False]}),
        (TypeError, "counted: wanted a NumPy array of booleans, got dtype float64", {"counted": np.ones(2)}),
        (ValueError, "counted: wanted shape (2,), got (1,)", {"counted": np.array([True])}),
        (TypeError, "counted: wanted a NumPy array of booleans, got Tensor", {"counted": torch.tensor([True, False])}),
    ],
    "selection.draw_choice": [
        {"weights": ones(2, 3) / 3, "generator": None},
        *tensor("weights", 2, 3),
        (ValueError, "weights: wanted shape (*, L, S), got (3,)", {"weights": ones(3)}),
        (TypeError, "generator: wanted a torch.Generator, got int", {"generator": 0}),
        (TypeError, "generator: wanted a torch.Generator, got numpy.Generator", {"generator": RNG}),
    ],
    "selection.HardAttention.probabilities": [
        {"query": ones(3, 2), "key": ones(4, 3), "attn_mask": None},
        *tensor("query", 3, 2),
        (ValueError, "W_a: wanted shape (n, d_q) with d_q = 3 as in query, got (4, 2)", {"query": ones(3, 3)}),
        *tensor("key", 4, 3),
        (ValueError, "U_a: wanted shape (n, d_k) with d_k = 2 as in key, got (4, 3)", {"key": ones(4, 2)}),
        *mask("attn_mask", 3, 4),
    ],
    "selection.LocalP.centre": [
        {"query": ones(3, 2), "keys": 4},
        *tensor("query", 3, 2),
        (ValueError, "W_p: wanted shape (n, d_query) with d_query = 3 as in query, got (2, 2)", {"query": ones(3, 3)}),
        *whole("keys", 0),
    ],
    "selection.gumbel_noise": [
        {"shape": (2, 3), "generator": None, "dtype": None, "device": None},
        (TypeError, "shape: wanted a sequence of integers, got int", {"shape": 3}),
        (TypeError, "shape: wanted an integer, got float", {"shape": (2.0,)}),
        (ValueError, "shape: wanted an integer of at least 0, got -1", {"shape": (-1, 2)}),
        (TypeError, "generator: wanted a torch.Generator, got int", {"generator": 0}),
        (TypeError, "generator: wanted a torch.Generator, got numpy.Generator", {"generator": RNG}),
        (TypeError, "dtype: wanted one of floating-point numbers, got torch.int64", {"dtype": torch.long}),
        (TypeError, "dtype: wanted a torch.dtype, got type", {"dtype": np.float32}),
        Free("device", "PyTorch's own message says which there are"),
    ],
    "show.show": [
        {"mechanism": weighted_sum},
        (TypeError, f"mechanism: wanted one of {SHOWN}, got str", {"mechanism": "dot"}),
        (TypeError, f"mechanism: wanted one of {SHOWN}, got tanh", {"mechanism": np.tanh}),
        (TypeError, f"mechanism: wanted one of {SHOWN}, got NoneType", {"mechanism": None}),
    ],
    "show.source": [
        {"thing": weighted_sum},
        (TypeError, "thing: wanted a function or class that stands in a file of Python, got int", {"thing": 3}),
        (TypeError, "thing: wanted a function or class that stands in a file of Python, got len", {"thing": len}),
        (TypeError, "thing: wanted a function or class that stands in a file of Python, got WeightedSum",
         {"thing": WeightedSum()}),
        (TypeError, "thing: wanted a function or class that stands in a file of Python, got <lambda>",
         {"thing": eval("lambda: 1")}),
    ],
    "sparse.window_pattern": [
        {"length": 3, "before": 1, "after": 1, "dilation": 1},
        *whole("length", 0), *whole("before", 0), *whole("after", 0), *whole("dilation"),
    ],
    "sparse.strided_pattern": [
        {"length": 4, "stride": 2, "part": "both"},
        *whole("length", 0), *whole("stride"),
        (ValueError, "part: wanted one of 'local', 'strided', 'both', got 'dilated'", {"part": "dilated"}),
        (ValueError, "part: wanted one of 'local', 'strided', 'both', got None", {"part": None}),
    ],
    "sparse.fixed_pattern": [
        {"length": 4, "block": 2, "summary": 1, "part": "both"},
        *whole("length", 0), *whole("block"), *whole("summary"),
        (ValueError, "summary: wanted an integer of at most block = 2, got 3", {"summary": 3}),
        (ValueError, "part: wanted one of 'local', 'fixed', 'both', got 'strided'", {"part": "strided"}),
    ],
    "sparse.global_pattern": [
        {"length": 4, "before": 1, "after": 1, "at": (0,)},
        *whole("length", 0), *whole("before", 0), *whole("after", 0),
        (TypeError, "at: wanted a tuple of integers, got 0", {"at": 0}),
        (TypeError, "at: wanted a tuple of integers, got [0]", {"at": [0]}),
        (TypeError, "at: wanted a tuple of integers, got (0.0,)", {"at": (0.0,)}),
        (ValueError, "at: wanted each place once, got (0, 0)", {"at": (0, 0)}),
        (ValueError, "at: wanted places of at least 0, got (-1,)", {"at": (-1,)}),
        (ValueError, "at: wanted places below L = 4, got (4,)", {"at": (4,)}),
    ],
    "sparse.reach": [
        {"pattern": np.eye(3, dtype=bool), "layers": 2},
        (TypeError, "pattern: wanted a NumPy array or a list of them, got NoneType", {"pattern": None}),
        (TypeError, "pattern: wanted a NumPy array, got list", {"pattern": [[True]]}),
        (ValueError, "pattern: wanted at least one, got an empty list", {"pattern": []}),
        (TypeError, "pattern: wanted booleans, got dtype float64", {"pattern": np.eye(3)}),
        (ValueError, "pattern: wanted shape (L, L), got (2, 3)", {"pattern": np.ones((2, 3), bool)}),
        (ValueError, "pattern: wanted shape (3, 3) as the first has, got (2, 2)",
         {"pattern": [np.eye(3, dtype=bool), np.eye(2, dtype=bool)]}),
        *whole("layers", 0),
    ],
    "sparse.layers_to_reach": [
        {"pattern": np.eye(3, dtype=bool)},
        (TypeError, "pattern: wanted a NumPy array or a list of them, got Tensor",
         {"pattern": torch.eye(3, dtype=torch.bool)}),
        (ValueError, "pattern: wanted at least one, got an empty list", {"pattern": ()}),
        (TypeError, "pattern: wanted booleans, got dtype int64", {"pattern": np.eye(3, dtype=int)}),
        (ValueError, "pattern: wanted shape (L, L), got (1, 3, 3)", {"pattern": np.ones((1, 3, 3), bool)}),
    ],
    "sparse.angular_hash": [
        {"x": np.ones((3, 2)), "rotations": np.ones((1, 2, 2)), "buckets": (4,)},
        (TypeError, "x: wanted a NumPy array, got list", {"x": [[1.0]]}),
        (ValueError, "rotations: wanted shape (r, d_k, f) with d_k = 4 as in x, got (1, 2, 2)", {"x": np.ones((3, 4))}),
        (TypeError, "x: wanted floating-point numbers, got dtype int64", {"x": np.ones((3, 2), int)}),
        (ValueError, "rotations: wanted shape (r, d_k, f), got (2, 2)", {"rotations": np.ones((2, 2))}),
        (ValueError, "rotations: wanted shape (r, d_k, f) with d_k = 2 as in x, got (1, 3, 2)",
         {"rotations": np.ones((1, 3, 2))}),
        (TypeError, "buckets: wanted a tuple of even numbers, got 4", {"buckets": 4}),
        (TypeError, "buckets: wanted a tuple of even numbers, got ()", {"buckets": ()}),
        (ValueError, "buckets: wanted even numbers, got (3,)", {"buckets": (3,)}),
        (TypeError, "buckets: wanted an integer, got float", {"buckets": (4.0,)}),
        (ValueError, "rotations: wanted 3 columns, half the sum of (6,), got 2", {"buckets": (6,)}),
    ],
    "sparse.lsh_meetings": [
        {"bucket": np.array([[0, 1, 0]]), "chunk": 2, "causal": False},
        (TypeError, "bucket: wanted an array of integers (..., r, L), got [[0, 1]]", {"bucket": [[0, 1]]}),
        (TypeError, "bucket: wanted an array of integers (..., r, L), got array([[1., 1.]])",
         {"bucket": np.ones((1, 2))}),
        (TypeError, "bucket: wanted an array of integers (..., r, L), got array([0, 1])", {"bucket": np.array([0, 1])}),
        *whole("chunk"), *flag("causal"),
    ],
    "sparse.LshAttention.hash": [
        {"x": ones(3, 2)},
        *tensor("x", 3, 2),
        (ValueError, "x: wanted shape (*, L, d_k) with d_k = 2 as in rotations, got (3, 4)", {"x": ones(3, 4)}),
        (ValueError, "x: wanted shape (*, L, d_k), got (2,)", {"x": ones(2)}),
    ],
    "tasks.captions": [
        {"rng": RNG, "count": 1, "side": 2, "noise": 0.0, "held_out": False},
        *generator(), *whole("count"), *whole("side", 2),
        (ValueError, "noise: wanted a finite number of at least 0, got -0.1", {"noise": -0.1}),
        (ValueError, "noise: wanted a finite number of at least 0, got nan", {"noise": float("nan")}),
        (ValueError, "noise: wanted a finite number of at least 0, got inf", {"noise": float("inf")}),
        (TypeError, "noise: wanted a number, got str", {"noise": "some"}),
        (TypeError, "noise: wanted a number, got NoneType", {"noise": None}),
        *flag("held_out"),
    ],
    "tasks.colour_of": [{"rng": RNG, "count": 1, "length": 2}, *generator(), *whole("count"), *whole("length")],
    "tasks.one_capital": [
        {"rng": RNG, "count": 1, "length": 2, "letters": 2},
        *generator(), *whole("count"), *whole("length"), *whole("letters", 2),
    ],
    "tasks.duplication": [
        {"rng": RNG, "count": 1, "length": 4, "symbols": 2},
        *generator(), *whole("count"), *whole("length", 4),
        (ValueError, "length: wanted an even number, got 7", {"length": 7}),
        *whole("symbols", 2),
    ],
    "tasks.three_token_lookup": [{"labels": 2, "contents": 2}, *whole("labels", 2), *whole("contents", 2)],
    "tasks.train": [
        TRAIN,
        (TypeError, "model: wanted an nn.Module, got NoneType", {"model": None}),
        (TypeError, "model: wanted an nn.Module, got type", {"model": nn.Linear}),
        (TypeError, "batches: wanted tuples, one for each step, got int", {"batches": 3}),
        (ValueError, "batches: wanted at least one, got none", {"batches": []}),
        (TypeError, "batches: wanted tuples, one for each step, got Tensor", {"batches": ones(2, 3)}),
        (TypeError, "batches: wanted tuples, one for each step, got float", {"batches": [1.0]}),
        (TypeError, "loss: wanted a function of the model and a batch, got float", {"loss": 1.0}),
        (ValueError, "loss: wanted a tensor with one number, got float", {"loss": lambda model, x: 1.0}),
        (ValueError, "loss: wanted a tensor with one number, got (2, 2)", {"loss": lambda model, x: model.weight * x}),
        (ValueError, "loss: wanted finite numbers, got inf at step 0; try a smaller step",
         {"loss": lambda model, x: torch.tensor(np.inf, requires_grad=True)}),
        (TypeError, "optimizer: wanted a torch.optim.Optimizer, got NoneType", {"optimizer": None}),
        (TypeError, "optimizer: wanted a torch.optim.Optimizer, got type", {"optimizer": torch.optim.SGD}),
        *flag("progress"),
    ],
    "tasks.two_rooks": [{"rng": RNG, "count": 1, "side": 2}, *generator(), *whole("count"), *whole("side", 2)],
    "tasks.which_came_first": [
        {"rng": RNG, "count": 1, "length": 2, "fillers": 1},
        *generator(), *whole("count"), *whole("length", 2), *whole("fillers"),
    ],
    "tasks.mask_words": [
        {"ids": NP_WORDS, "rng": RNG, "share": 0.5},
        *words("ids", "NumPy array", len(SOVIC), "(N, T)"),
        (ValueError, "ids: wanted at least one word in each row, got a row with none",
         {"ids": np.array([[1, 5, 2], [1, 2, 0]])}),
        (ValueError, "ids: wanted at least one word in a row, got none", {"ids": np.ones((1, 0), int)}),
        *generator(),
        (ValueError, "share: wanted a number from 0 to 1, got 1.5", {"share": 1.5}),
        (ValueError, "share: wanted a number from 0 to 1, got -0.1", {"share": -0.1}),
        (ValueError, "share: wanted a number from 0 to 1, got nan", {"share": float("nan")}),
        (TypeError, "share: wanted a number, got str", {"share": "half"}),
        (TypeError, "share: wanted a number, got NoneType", {"share": None}),
    ],
    "tasks.tiny_language": [
        {"count": 1, "rng": RNG, "held_out": False},
        *whole("count"), *generator(), *flag("held_out"),
    ],
    "tasks.words": [
        {"ids": [1, 5], "vocabulary": ENGLISH},
        (ValueError, "ids: wanted 0 to 32, got 33", {"ids": [len(ENGLISH)]}),
        (ValueError, "ids: wanted 0 to 32, got -1", {"ids": [-1]}),
        (TypeError, "ids: wanted integers in a row, got [1.0]", {"ids": [1.0]}),
        (TypeError, "ids: wanted integers in a row, got array([1.])", {"ids": np.array([1.0])}),
        (TypeError, "ids: wanted integers in a row, got array([[1, 2],\n       [3, 4]])",
         {"ids": np.array([[1, 2], [3, 4]])}),
        (TypeError, "ids: wanted integers in a row, got 5", {"ids": 5}),
        (TypeError, "ids: wanted integers in a row, got 'the dog'", {"ids": "the dog"}),
        (TypeError, "vocabulary: wanted a list or tuple of words, got str", {"vocabulary": "the dog"}),
        (TypeError, "vocabulary: wanted a list or tuple of words, got NoneType", {"vocabulary": None}),
        (TypeError, "vocabulary: wanted a list or tuple of words, got dict", {"vocabulary": {"the": 4}}),
    ],
    "tasks.masked_word_log_probs": [
        {"ids": np.array([[ENGLISH.index(w) for w in ["<start>", "the", "dog", "sees", "a", "<mask>", "<end>"]]])},
        *words("ids", "NumPy array", len(ENGLISH), "(N, T)"),
        (ValueError, "ids: wanted a sentence that the grammar allows, got ''", {"ids": np.array([[1, 2]])}),
    ],
    "tasks.next_word_log_probs": [
        {"ids": NP_WORDS},
        *words("ids", "NumPy array", len(ENGLISH), "(N, T)"),
        (ValueError, "ids: wanted the beginning of a sentence that the grammar allows, got 'a'",
         {"ids": np.array([[5, 1]])}),
    ],
    "tasks.sentence_log_probs": [{"ids": NP_WORDS}, *words("ids", "NumPy array", len(ENGLISH), "(N, T)")],
    "tasks.translation": [
        {"rng": RNG, "n": 1, "longest": 4, "shortest": 4},
        *generator(), *whole("n"), *whole("longest", 4), *whole("shortest", 3),
        (ValueError, "longest: wanted an integer of at least 5, got 4", {"shortest": 5}),
    ],
    "torch_ops.may_attend": [
        {"attn_mask": truths(2, 3), "causal": False, "shape": (2, 3), "device": torch.device("cpu")},
        *mask("attn_mask", 2, 3),
        Free("causal", "an option of a module, which has checked it"),
        (ValueError, "attn_mask: wanted a shape that broadcasts to (2, 4), got (2, 3)", {"shape": (2, 4)}),
        (ValueError, "attn_mask: wanted device meta, got cpu", {"device": torch.device("meta")}),
    ],
    "vision.memory_1d": [
        {"length": 4, "block": 2, "memory": 1, "causal": True},
        *whole("length", 0), *whole("block"), *whole("memory", 0), *flag("causal"),
    ],
    "vision.block_order": [
        {"height": 3, "width": 3, "block": (2, 2)},
        *whole("height", 0), *whole("width", 0),
        (TypeError, "block: wanted a tuple of two integers, got 2", {"block": 2}),
        (TypeError, "block: wanted a tuple of two integers, got [2, 2]", {"block": [2, 2]}),
        (TypeError, "block: wanted a tuple of two integers, got (2, 2, 2)", {"block": (2, 2, 2)}),
        (TypeError, "block: wanted an integer, got float", {"block": (2.0, 2)}),
        (ValueError, "block: wanted an integer of at least 1, got 0", {"block": (0, 2)}),
    ],
    "vision.memory_2d": [
        {"height": 3, "width": 3, "block": (2, 2), "memory": (1, 1), "causal": True},
        *whole("height", 0), *whole("width", 0),
        (TypeError, "block: wanted a tuple of two integers, got 2", {"block": 2}),
        (ValueError, "block: wanted an integer of at least 1, got 0", {"block": (0, 2)}),
        (TypeError, "memory: wanted a tuple of two integers, got 1", {"memory": 1}),
        (ValueError, "memory: wanted an integer of at least 0, got -1", {"memory": (-1, 0)}),
        *flag("causal"),
    ],
}
# fmt: on


STEP = "a step of what its object does when called, which has checked"
RECORD = "part of a mechanism's record, which `contract.record_is_whole` reads"
RESULT = "what a function returns; nothing is computed of it"
PIECE = "a piece that modules share, which have checked"
PREDICATE = "called by `contract.property_claims` alone, with what a record draws"
WATCH = "called by PyTorch, with what an operation made"

# What else is public, and why it has no row.
ELSEWHERE = {
    "exercises.Result": RESULT,
    "heads.ReAttention.batch_norm": STEP,
    "mechanism.Claim": RECORD,
    "mechanism.Example": RECORD,
    "mechanism.Mechanism": RECORD,
    "mechanism.Sizes": RECORD,
    "memory.Largest": WATCH,
    "memory.Largest.size": WATCH,
    "models.Cache.attend": STEP,
    "models.Captioner.look": STEP,
    "models.Captioner.say": STEP,
    "models.Embedding.logits": STEP,
    "models.Hypothesis": RESULT,
    "models.Seq2Seq.asking": STEP,
    "models.Seq2Seq.begin": STEP,
    "models.Seq2Seq.move": STEP,
    "positions.QuadraticAttention.along": STEP,
    **{f"properties.{name}": PREDICATE for name in PROPERTIES},
    "recomputed.ReversibleResidual.attend": STEP,
    "recomputed.ReversibleResidual.feed": STEP,
    "sparse.FixedAttention.summaries": STEP,
    "sparse.GlobalWindowAttention.near": STEP,
    "sparse.LshAttention.sees": STEP,
    "tasks.Translations": RESULT,
    "torch_ops.blocked_attention": PIECE,
    "torch_ops.combine": PIECE,
    "torch_ops.fused_attention": PIECE,
    "torch_ops.masked_softmax": PIECE,
    "vision.AxialAttention.attend_along": STEP,
    "vision.LocalAttention2d.sees": STEP,
}
CALLS = [(name, *row) for name, rows in TABLE.items() for row in rows[1:] if not isinstance(row, Free)]


def modules():
    yield attn_edu
    for found in pkgutil.walk_packages(attn_edu.__path__, "attn_edu."):
        if not any(part.startswith("_") for part in found.name.split(".")):
            yield importlib.import_module(found.name)


def parameters(thing):
    return [name for name in inspect.signature(thing).parameters if name != "self"]


def public():
    """Every function, class and method under a name without an underscore that takes something, but for mechanisms."""
    records = {part for record in RECORDS for part in (record.reference, record.module)}
    found = {}
    for module in modules():
        for name, thing in vars(module).items():
            home = getattr(thing, "__module__", "")
            if name[0] == "_" or not callable(thing) or not f"{home}.".startswith((f"{module.__name__}.",)):
                continue
            name = f"{module.__name__}.{name}".removeprefix("attn_edu.")
            known = thing in records
            found |= {} if known else {name: thing}
            if inspect.isclass(thing) and not issubclass(thing, Figure):
                methods = {f"{name}.{each}": method for each, method in vars(thing).items() if each[0] != "_"}
                methods.pop(f"{name}.forward" if known else "", None)
                found |= {each: method for each, method in methods.items() if inspect.isfunction(method)}
    return {name: thing for name, thing in found.items() if parameters(thing)}


def resolve(name):
    """Return the function of that name; a method is that of an object made as the row of its class says."""
    *path, last = name.split(".")
    if path[-1][0].isupper():
        owner = ".".join(path)
        return getattr(resolve(owner)(**(BUILT.get(owner) or TABLE[owner][0])), last)
    return getattr(importlib.import_module(".".join(["attn_edu", *path])), last)


def call(name, arguments):
    function = resolve(name)
    bound = inspect.BoundArguments(inspect.signature(function), OrderedDict(arguments))
    return function(*bound.args, **bound.kwargs)


@pytest.mark.parametrize("name", TABLE)
def test_the_call_beside_the_bad_ones_is_right(unhooked, name):
    assert list(TABLE[name][0]) == parameters(resolve(name)), "wanted every argument, in order"
    call(name, TABLE[name][0])
    plt.close("all")


@pytest.mark.parametrize(
    ("name", "error", "message", "changes"),
    CALLS,
    ids=[f"{name}-{'-'.join(changes)}-{n}" for n, (name, _, _, changes) in enumerate(CALLS)],
)
def test_refuses(unhooked, name, error, message, changes):
    with pytest.raises(error) as caught:
        call(name, TABLE[name][0] | changes)
    assert (type(caught.value), str(caught.value)) == (error, message)
    assert not plt.get_fignums(), "wanted no picture begun"


def test_every_message_says_what_was_wanted_and_what_came():
    assert not [message for _, _, message, _ in CALLS if ": wanted " not in message or ", got " not in message]


def test_every_public_function_has_its_rows():
    """A new one is found here; so is a row of what is no more."""
    found = {name for name, thing in public().items() if not is_figure(thing)}
    missing = sorted(found - TABLE.keys() - ELSEWHERE.keys())
    assert not missing, (
        f"tests/test_bad_inputs.py: to add to TABLE, or with a reason to ELSEWHERE: {', '.join(missing)}"
    )
    gone = sorted((TABLE.keys() | ELSEWHERE.keys()) - found - BUILT.keys())
    assert not gone, f"tests/test_bad_inputs.py: to take out, as there is no such function: {', '.join(gone)}"
    assert not TABLE.keys() & ELSEWHERE.keys()
    assert len(found) > 100


def is_figure(thing):
    return inspect.isclass(thing) and issubclass(thing, Figure)


@pytest.mark.parametrize("name", TABLE)
def test_every_argument_has_its_rows(name):
    good, *rows = TABLE[name]
    said = {each for row in rows for each in ([row.name] if isinstance(row, Free) else row[2])}
    missing = [each for each in good if each not in said]
    assert not missing, f"{name}: to add a bad call, or Free with a reason, for {', '.join(missing)}"


@pytest.mark.parametrize("name", [name for name, thing in public().items() if is_figure(thing)])
def test_every_argument_of_a_figure_is_refused_somewhere(name):
    kind = public()[name]
    module = test_figures.MODULES[kind.name]
    said = {each for *_, changes in module.REFUSED.values() for each in changes}
    missing = [each for each in parameters(kind) if each not in said]
    assert not missing, f"tests/{module.__name__}.py: to add to REFUSED, a bad {', '.join(missing)}"


@pytest.mark.parametrize("changes", [{"x": ones(3, 5)}, {"attn_mask": truths(3, 2)}])
def test_what_is_refused_leaves_the_cache_as_it_was(unhooked, changes):
    """Nothing half-written: of a call that is refused, later ones see nothing."""
    block, cache = resolve("models.EncoderBlock")(**MODEL), Cache()
    with pytest.raises(ValueError, match="wanted"):
        block(**{"x": ones(3, 4), "cache": cache} | changes)
    assert (cache.kept, cache.length) == ({}, 0)
