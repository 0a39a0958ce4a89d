"""Attention, from a weighted sum up: every mechanism as a NumPy definition and a PyTorch module.

Families are subpackages: ``attn_edu.core.scaled_dot_product`` is a NumPy function and
``attn_edu.core.ScaledDotProduct`` the PyTorch module that computes the same.
"""

from importlib.metadata import version

from . import core as core
from . import positions as positions
from . import heads as heads
from . import convolution as convolution
from . import scores as scores
from . import selection as selection
from . import recurrent as recurrent
from . import vision as vision
from . import sparse as sparse
from . import recomputed as recomputed
from . import models as models

__version__ = version("attn-edu")
