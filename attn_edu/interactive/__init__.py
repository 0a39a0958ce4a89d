"""Figures that a reader can play with, in a page without a kernel or in a live notebook."""

from ._attention_explorer import AttentionExplorer as AttentionExplorer
from ._axial_reach import AxialReach as AxialReach
from ._block_flow import BlockFlow as BlockFlow
from ._caption_gaze import CaptionGaze as CaptionGaze
from ._convolution_as_attention import ConvolutionAsAttention as ConvolutionAsAttention
from ._cost_calculator import CostCalculator as CostCalculator
from ._dense_as_attention import DenseAsAttention as DenseAsAttention
from ._figure import Figure as Figure
from ._hash_circle import HashCircle as HashCircle
from ._hash_rounds import HashRounds as HashRounds
from ._head_steps import HeadSteps as HeadSteps
from ._local_window import LocalWindow as LocalWindow
from ._memory_blocks import MemoryBlocks as MemoryBlocks
from ._movies_and_users import MoviesAndUsers as MoviesAndUsers
from ._patch_lens import PatchLens as PatchLens
from ._pattern_reach import PatternReach as PatternReach
from ._position_similarity import PositionSimilarity as PositionSimilarity
from ._rotating_pairs import RotatingPairs as RotatingPairs
from ._scale_dial import ScaleDial as ScaleDial
from ._score_dial import ScoreDial as ScoreDial
from ._sentence_morph import SentenceMorph as SentenceMorph
from ._soft_lookup import SoftLookup as SoftLookup
from ._tape_reader import TapeReader as TapeReader
from ._theta_dial import ThetaDial as ThetaDial
from ._translation_alignment import TranslationAlignment as TranslationAlignment
from ._weighted_sum_plane import WeightedSumPlane as WeightedSumPlane
