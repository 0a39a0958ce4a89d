"""Leave out the marks of highlighted code that change nothing: a quarter of a page's bytes, and no colour."""

from collections.abc import Iterator
from typing import Any

from pygments.formatters import HtmlFormatter
from pygments.token import Name, Punctuation, Text, Whitespace
from sphinx.application import Sphinx
from sphinx.highlighting import PygmentsBridge

PLAIN = {Name, Punctuation, Whitespace}  # both styles of the theme give them the colour of the text around them


class FewerMarks(HtmlFormatter):
    """Write plain names, punctuation and spaces as text."""

    def format_unencoded(self, tokensource: Iterator[tuple[Any, str]], outfile: Any) -> None:
        """Format the tokens, some as plain text."""
        plain = ((Text if kind in PLAIN else kind, text) for kind, text in tokensource)
        super().format_unencoded(plain, outfile)


def setup(app: Sphinx) -> dict[str, bool]:
    PygmentsBridge.html_formatter = FewerMarks
    return {"parallel_read_safe": True, "parallel_write_safe": True}
