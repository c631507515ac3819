"""Where planner keeps what it can make again at any time: in the user's cache folder."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """The folder of what planner keeps, which may not exist yet. Raises RuntimeError where the user has no home."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "inference-planner"
