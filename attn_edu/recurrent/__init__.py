"""Recurrent networks that attend to their own past."""

from ._lstmn import LSTMN as LSTMN, lstmn as lstmn
from ._lstmn_deep_fusion import LSTMNDeepFusion as LSTMNDeepFusion, lstmn_deep_fusion as lstmn_deep_fusion
