"""Small tasks, made on the spot, and one short training loop. Nothing is fetched; tqdm draws the progress bar."""

from ._captions import CAPTION_WORDS as CAPTION_WORDS, captions as captions
from ._digits import digits as digits
from ._colour_of import colour_of as colour_of
from ._one_capital import one_capital as one_capital
from ._duplication import duplication as duplication
from ._lookup import three_token_lookup as three_token_lookup
from ._train import train as train
from ._two_rooks import two_rooks as two_rooks
from ._which_came_first import which_came_first as which_came_first
from ._language import (
    END as END,
    ENGLISH as ENGLISH,
    MASK as MASK,
    PAD as PAD,
    SOVIC as SOVIC,
    START as START,
    mask_words as mask_words,
    tiny_language as tiny_language,
    words as words,
)
from ._language_odds import (
    grammar_entropy as grammar_entropy,
    masked_word_log_probs as masked_word_log_probs,
    next_word_log_probs as next_word_log_probs,
    sentence_log_probs as sentence_log_probs,
)
from ._translation import (
    PAST_ENGLISH as PAST_ENGLISH,
    PAST_SOVIC as PAST_SOVIC,
    Translations as Translations,
    translation as translation,
)
