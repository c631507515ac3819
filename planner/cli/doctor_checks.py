"""Whether this installation and this store work: a list of checks, each with what was found."""

import os
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from zoneinfo import available_timezones

from planner.catalogue.scenarios import load_scenario
from planner.errors import PlannerError
from planner.files import shipped
from planner.planning.check import check
from planner.store import Store, named_queries
from planner.trace import stored as catalogue

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


@dataclass(frozen=True)
class Check:
    """One check: whether it is well, and what was found or the cure."""

    name: str
    ok: bool
    found: str


def checks(store: Store) -> list[Check]:
    """All checks; nothing is changed."""
    return [
        Check("python", sys.version_info >= (3, 11), ".".join(map(str, sys.version_info[:3]))),
        _packages(),
        Check("time zones", len(available_timezones()) > 100, f"{len(available_timezones())} IANA zones"),
        _data(),
        _scenario(),
        _disk(store),
        *_store(store),
    ]


def _packages() -> Check:
    found, missing = [], []
    for package in _PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            missing.append(package)
    text = f"missing: {', '.join(missing)}; install the project again" if missing else ", ".join(found)
    return Check("packages", not missing, text)


def _data() -> Check:
    absent = [folder for folder in ("sql", "traces", "reports") if not shipped(folder).is_dir()]
    if absent:
        return Check("shipped data", False, f"missing: {', '.join(absent)}; install the project again")
    return Check("shipped data", True, f"{len(named_queries())} queries")


def _scenario() -> Check:
    try:
        problems = check(load_scenario(environment=os.environ).scenario)
    except PlannerError as error:
        problems = [str(error)]
    return Check("default scenario", not problems, "; ".join(problems) or "valid")


def _disk(store: Store) -> Check:
    folder = store.path.resolve().parent
    if not folder.is_dir():
        return Check("disk", False, f"there is no folder {folder}; make it, or name another file with --db")
    free = shutil.disk_usage(folder).free
    cure = "" if free >= _LEAST_DISK_BYTES else "; free 2 GB for a trace at full scale"
    writable = os.access(folder, os.W_OK)
    if not writable:
        cure = "; the folder is not writable"
    return Check("disk", free >= _LEAST_DISK_BYTES and writable, f"{free / 2**30:,.1f} GiB free in {folder}{cure}")


def _store(store: Store) -> list[Check]:
    if not store.path.exists():
        return [Check("store", True, f"{store.path}: not there yet; `planner plan` makes it")]
    try:
        with store.read() as session:
            traces, runs = catalogue.listed(session), session.rows("run_list")
    except PlannerError as error:
        return [Check("store", False, str(error))]
    size = Path(store.path).stat().st_size / 2**20
    return [Check("store", True, f"{store.path}: {len(traces)} traces, {len(runs)} runs, {size:,.1f} MiB")]
