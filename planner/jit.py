"""numba, set up so that compiled kernels are cached per user, per version, and per text of all kernels.

The default cache sits beside the source: read-only installs cannot write it and parallel workers race on it. To tell
whether a kernel changed, numba checks its own file only, though its machine code contains what it calls in other files.
Where the package is does not matter: another checkout or environment with the same kernels finds them compiled.
A kernel that several processes need at the same moment is compiled by one of them, for which the others wait: it takes
up to half a minute. Import this module only from kernels; it costs about a second.
"""

import fcntl
import hashlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from planner.caches import cache_folder

_package = Path(__file__).parent
_texts = (path.read_bytes() for path in sorted(_package.rglob("*.py")))
_digest = hashlib.sha256(b"\0".join(text for text in _texts if b"planner.jit import" in text)).hexdigest()[:12]
_key = f"numba-{version('numba')}-py{sys.version_info.major}.{sys.version_info.minor}-{_digest}"
os.environ.setdefault("NUMBA_CACHE_DIR", str(cache_folder() / _key))

_folder = Path(os.environ["NUMBA_CACHE_DIR"])

# what a kill left of files that numba was writing: it cannot be told whose they are, so they go by age
for _left in _folder.rglob("*.nb[ci].tmp.*"):
    with suppress(OSError):
        if time.time() - _left.stat().st_mtime > 24 * 3600:
            _left.unlink()

from numba import njit as _njit  # noqa: E402  the cache directory is read when numba is imported
from numba.core import caching  # noqa: E402
from numba.core.compiler_lock import global_compiler_lock  # noqa: E402

_held = set[str]()
"""Kernels that this process compiles, one inside the other."""


class _OfPackage(caching.UserProvidedCacheLocator):
    """Places the machine code of a kernel by its module and by the text of all kernels."""

    @classmethod
    def get_suitable_cache_subpath(cls, py_file: str) -> str:
        return str(Path(_digest) / Path(py_file).absolute().parent.relative_to(_package))

    @classmethod
    def from_function(cls, py_func: Callable[..., Any], py_file: str) -> Any:
        if not Path(py_file).absolute().is_relative_to(_package):
            return None
        return super().from_function(py_func, py_file)  # type: ignore[no-untyped-call]


class _Impl(caching.CompileResultCacheImpl):
    _locator_classes = [_OfPackage, *caching.CompileResultCacheImpl._locator_classes]  # noqa: RUF012


class _Cache(caching.FunctionCache):
    _impl_class = _Impl


def njit(function: Callable[..., Any]) -> Any:
    """Compile a function when it is called, and cache it."""
    kernel = _njit(function, nogil=True)
    kernel._cache = _Cache(function)  # type: ignore[no-untyped-call]
    compile_now, name = kernel.compile, f"{function.__module__}.{function.__qualname__}"

    def compile_alone(signature: object) -> object:
        # numba's own lock comes first: a thread that has it must not wait for one that wants it
        with global_compiler_lock, _alone(name):
            return compile_now(signature)

    kernel.compile = compile_alone
    return kernel


def inlined(function: Callable[..., Any]) -> Any:
    """Compile a function into each of its callers: for what a replay calls for every request or step.

    Kernels that are compiled apart lie at beginnings of pages, where they drive each other out of the processor's
    cache of instructions.
    """
    kernel = _njit(function, nogil=True, forceinline=True)
    kernel._cache = _Cache(function)  # type: ignore[no-untyped-call]
    return kernel


@contextmanager
def _alone(name: str) -> Iterator[None]:
    """Hold a kernel against other processes; where the cache cannot be written there is nothing to wait for."""
    if name in _held:
        yield
        return
    try:
        _folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(_folder / f"{name}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError:
        yield
        return
    _held.add(name)
    try:
        with suppress(OSError):  # a file system that knows no locks
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        _held.discard(name)
        os.close(lock)


__all__ = ["inlined", "njit"]
