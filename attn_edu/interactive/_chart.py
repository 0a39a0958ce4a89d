"""What figures with a chart have in common: a script for axes and sliders, and its style."""

from typing import ClassVar

from ._figure import Figure


class ChartFigure(Figure):
    """A figure whose script uses ``chart.js`` as well as ``kit.js``."""

    scripts: ClassVar[tuple[str, ...]] = ("kit.js", "chart.js")
    styles: ClassVar[tuple[str, ...]] = ("theme.css", "chart.css")
