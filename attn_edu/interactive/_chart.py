"""What figures with a chart have in common: a script for axes and sliders, and its style."""

from ._figure import Figure, source


class ChartFigure(Figure):
    """A figure whose script uses ``chart.js`` as well as ``kit.js``."""

    @classmethod
    def module(cls) -> str:
        """Return the ES module, what figures with a chart share before it."""
        return source("kit.js") + source("chart.js") + source(f"{cls.name}.js")

    @classmethod
    def style(cls) -> str:
        """Return the figure's style, the shared ones first."""
        return source("theme.css") + source("chart.css") + source(f"{cls.name}.css")
