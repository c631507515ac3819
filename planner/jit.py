"""numba, set up so that compiled kernels are cached per user and per version.

The default cache sits beside the source: read-only installs cannot write it and parallel workers race on it.
Import this module only from kernels; it costs about a second.
"""

import os
import sys
from importlib.metadata import version
from pathlib import Path

_root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
_key = f"numba-{version('numba')}-py{sys.version_info.major}.{sys.version_info.minor}"
os.environ.setdefault("NUMBA_CACHE_DIR", str(_root / "inference-planner" / _key))

from numba import njit as _njit  # noqa: E402  the cache directory is read when numba is imported

njit = _njit(cache=True, nogil=True)

__all__ = ["njit"]
