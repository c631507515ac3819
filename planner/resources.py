"""Where the shipped data folders are: `sql/`, `traces/`, `reports/`.

A wheel carries them inside the package; a checkout has them at its top level.
"""

from importlib.resources import files
from pathlib import Path


def shipped(folder: str) -> Path:
    """The shipped data folder of that name."""
    package = Path(str(files("planner")))
    inside = package / "_shipped" / folder
    return inside if inside.is_dir() else package.parent / folder
