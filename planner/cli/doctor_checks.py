"""Whether this installation and this store work: a list of checks, each with its finding."""

import os
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from zoneinfo import available_timezones

from planner.catalogue.scenarios import load_scenario
from planner.documents import Document
from planner.errors import PlannerError
from planner.files import shipped
from planner.planning.check import check
from planner.store import Store, named_queries
from planner.units import counted

_PACKAGES = (
    "polars",
    "duckdb",
    "numpy",
    "pyarrow",
    "numba",
    "pydantic",
    "typer",
    "altair",
    "vl-convert-python",
)
_LEAST_DISK_BYTES = 2 << 30


@dataclass(frozen=True, kw_only=True)
class DoctorCheck(Document):
    """One check of the installation or the store."""

    name: str
    ok: bool
    found: str
    """What was found, or the cure."""


@dataclass(frozen=True, kw_only=True)
class DoctorReport(Document):
    """Whether this installation and the store work."""

    ok: bool
    """Whether all checks pass."""
    checks: tuple[DoctorCheck, ...]

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of the checks that fail."""
        return tuple(check.name for check in self.checks if not check.ok)


def examine(store: Store) -> DoctorReport:
    """All checks; nothing is changed."""
    zones = len(available_timezones())
    checks = (
        _check("python", sys.version_info >= (3, 11), ".".join(map(str, sys.version_info[:3]))),
        _packages(),
        _check("time zones", zones > 100, f"{zones} IANA zones"),
        _data(),
        _scenario(),
        _disk(store),
        _store(store),
    )
    return DoctorReport(ok=all(check.ok for check in checks), checks=checks)


def _check(name: str, ok: bool, found: str) -> DoctorCheck:
    return DoctorCheck(name=name, ok=ok, found=found)


def _packages() -> DoctorCheck:
    installed, missing = [], []
    for package in _PACKAGES:
        try:
            installed.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            missing.append(package)
    text = f"missing: {', '.join(missing)}; reinstall the project" if missing else ", ".join(installed)
    return _check("packages", not missing, text)


def _data() -> DoctorCheck:
    absent = [folder for folder in ("sql", "traces", "reports") if not shipped(folder).is_dir()]
    if absent:
        return _check("shipped data", False, f"missing: {', '.join(absent)}; reinstall the project")
    return _check("shipped data", True, f"{len(named_queries())} queries")


def _scenario() -> DoctorCheck:
    try:
        problems = check(load_scenario(environment=os.environ).scenario)
    except PlannerError as error:
        problems = [str(error)]
    return _check("default scenario", not problems, "; ".join(problems) or "valid")


def _disk(store: Store) -> DoctorCheck:
    folder = store.path.resolve().parent
    if not folder.is_dir():
        return _check("disk", False, f"there is no folder {folder}; create it, or name another file with --db")
    free = shutil.disk_usage(folder).free
    cure = "" if free >= _LEAST_DISK_BYTES else "; free 2 GB for a trace at full scale"
    writable = os.access(folder, os.W_OK)
    if not writable:
        cure = "; the folder is not writable"
    return _check("disk", free >= _LEAST_DISK_BYTES and writable, f"{free / 2**30:,.1f} GiB free in {folder}{cure}")


def _store(store: Store) -> DoctorCheck:
    if not store.path.exists():
        return _check("store", True, f"{store.path}: not created yet; `planner plan` creates it")
    try:
        with store.read() as session:
            traces, runs = session.frame("trace_list").height, session.frame("run_list").height
    except PlannerError as error:
        return _check("store", False, str(error))
    size_mib = store.path.stat().st_size / 2**20
    return _check(
        "store", True, f"{store.path}: {counted(traces, 'trace')}, {counted(runs, 'run')}, {size_mib:,.1f} MiB"
    )
