"""numba, set up so that compiled kernels are cached per user, per version, and per text of all kernels.

The default cache sits beside the source: read-only installs cannot write it and parallel workers race on it. To tell
whether a kernel changed, numba checks its own file only, though its machine code contains what it calls in other files.
Import this module only from kernels; it costs about a second.
"""

import hashlib
import os
import sys
import time
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

_root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
_texts = (path.read_bytes() for path in sorted(Path(__file__).parent.rglob("*.py")))
_digest = hashlib.sha256(b"\0".join(text for text in _texts if b"njit" in text)).hexdigest()[:12]
_key = f"numba-{version('numba')}-py{sys.version_info.major}.{sys.version_info.minor}-{_digest}"
os.environ.setdefault("NUMBA_CACHE_DIR", str(_root / "inference-planner" / _key))

# what a kill left of files that numba was writing: it cannot be told whose they are, so they go by age
for _left in Path(os.environ["NUMBA_CACHE_DIR"]).glob("*/*.nb[ci].tmp.*"):
    with suppress(OSError):
        if time.time() - _left.stat().st_mtime > 24 * 3600:
            _left.unlink()

from numba import njit as _njit  # noqa: E402  the cache directory is read when numba is imported

njit = _njit(cache=True, nogil=True)

__all__ = ["njit"]
