"""Mark highlighted code with fewer and shorter tags: half a page's bytes, and no colour but a dot's."""

import re
from collections.abc import Iterator
from io import StringIO
from typing import Any

from pygments.formatters import HtmlFormatter
from pygments.token import Name, Operator, Punctuation, Text, Whitespace
from sphinx.application import Sphinx
from sphinx.highlighting import PygmentsBridge

PLAIN = {Name, Punctuation, Whitespace}  # both styles of the theme give them the colour of the text around them


class FewerMarks(HtmlFormatter):
    """Write plain names, the dots within them, punctuation and spaces as text, and all else as ``<i class=k>``.

    An element ``i`` means no more to a screen reader than ``span`` does; the book's stylesheet keeps it upright.
    """

    def format_unencoded(self, tokensource: Iterator[tuple[Any, str]], outfile: Any) -> None:
        """Format the tokens, some as plain text."""

        def plain(kind: Any, text: str) -> bool:
            return kind in PLAIN or (kind is Operator and text == ".")

        marked = StringIO()
        super().format_unencoded(((Text if plain(*token) else token[0], token[1]) for token in tokensource), marked)
        outfile.write(re.sub(r'<span class="(\w+)">([^<]*)</span>', r"<i class=\1>\2</i>", marked.getvalue()))


def setup(app: Sphinx) -> dict[str, bool]:
    PygmentsBridge.html_formatter = FewerMarks
    return {"parallel_read_safe": True, "parallel_write_safe": True}
