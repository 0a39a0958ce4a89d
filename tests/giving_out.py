"""A pytest plugin: whoever imports one file of the package gets another source in its place. See `mutate.py`."""

import os
from importlib.machinery import SourceFileLoader
from pathlib import Path


def give_out(path: Path, source: str) -> None:
    """Let whoever imports this file get the changed source."""
    real = SourceFileLoader.get_data

    def get_data(loader, asked):
        if "__pycache__" in asked and Path(asked).name.startswith(f"{path.stem}.") and path.parent.name in asked:
            raise OSError("the compiled file is of the unchanged source")
        return source.encode() if Path(asked) == path else real(loader, asked)

    SourceFileLoader.get_data = get_data


if "MUTANT_OF" in os.environ:
    give_out(Path(os.environ["MUTANT_OF"]), Path(os.environ["MUTANT"]).read_text())
