"""Load profiles: read, checked and smoothed.

A profile is a TOML file with an hourly shape in a CSV beside it. The shape is smoothed into cells of 15 minutes.
"""

import csv
import hashlib
import io
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from planner.catalogue.read import read_settings
from planner.errors import UsageError
from planner.files import shipped
from planner.input_files import is_file, read_input, read_text
from planner.settings.closed import within_era
from planner.settings.profile import ProfileFile
from planner.units import S_PER_DAY, S_PER_HOUR, US_PER_S, Floats, to_us


@dataclass(frozen=True)
class Profile:
    """A checked profile with its hourly loads.

    hourly_load: (24,) relative load of each hour from `start`. path: the TOML file. digest: of TOML and CSV.
    """

    settings: ProfileFile
    hourly_load: Floats
    path: Path
    digest: str

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.settings.timezone)

    @property
    def start_us(self) -> int:
        return to_us(self.settings.start)

    @property
    def cell_us(self) -> int:
        return self.settings.cell_s * US_PER_S

    @cached_property
    def cell_share(self) -> Floats:
        """Share of the day's load in each cell; (cells per day,), sums to 1."""
        smooth = smooth_within_hours(self.hourly_load, S_PER_HOUR // self.settings.cell_s)
        share: Floats = smooth / smooth.sum()
        return share

    def published_nodes(self) -> dict[int, int]:
        """The published node timeline: interval start in microseconds -> nodes; empty where there is none."""
        published = self.settings.published
        if published is None:
            return {}
        rows = _csv_rows(self.path.parent / published.nodes_file, ("interval_start", "inference_nodes"))
        return {to_us(_moment(start)): int(nodes) for start, nodes in rows}


def smooth_within_hours(hourly: Floats, parts: int) -> Floats:
    """The smoothest periodic series with the given sums per hour: least squared second differences.

    hourly: (n,). Returns (n * parts,). Solved exactly from the optimality conditions of the quadratic program.
    """
    count = len(hourly) * parts
    identity = np.eye(count)
    second = np.roll(identity, 1, axis=0) - 2 * identity + np.roll(identity, -1, axis=0)
    sums = np.kron(np.eye(len(hourly)), np.ones((1, parts)))
    none = np.zeros((len(hourly), len(hourly)))
    system = np.block([[2 * second.T @ second, sums.T], [sums, none]])
    solution: Floats = np.linalg.solve(system, np.concatenate([np.zeros(count), hourly]))[:count]
    return solution


def profile_names() -> list[str]:
    """Names of the shipped profiles."""
    return sorted(path.stem for path in shipped("traces").glob("*.toml"))


def load_profile(name: str) -> Profile:
    """The profile of a built-in name or a TOML path. Raises UsageError."""
    path = shipped("traces") / f"{name}.toml"
    if Path(name).name != name or not is_file(path):
        path = Path(name)
    if not is_file(path):
        raise UsageError(
            f'no load profile "{name}": give one of {", ".join(profile_names())}, or the path of a TOML file'
        )
    settings = read_settings(path, ProfileFile)
    shape = path.parent / settings.shape.file
    content = read_input(path, cure=_BESIDE) + read_input(shape, cure=_BESIDE)
    return _profile(path, hashlib.sha256(content).hexdigest())


_BESIDE = "give a readable profile, with its CSV files beside it"


@lru_cache(maxsize=32)
def _profile(path: Path, digest: str) -> Profile:
    """The profile of a file's content; the shape is smoothed once per content."""
    settings = read_settings(path, ProfileFile)
    shape = path.parent / settings.shape.file
    profile = Profile(settings, _hourly_load(shape, settings), path, digest)
    if profile.cell_share.min() <= 0:
        raise UsageError(f"{shape}: falls so steeply that its smooth shape is negative; give every hour some load")
    return profile


def _hourly_load(path: Path, settings: ProfileFile) -> Floats:
    rows = _csv_rows(path, (settings.shape.time_column, settings.shape.load_column))
    try:
        times = [to_us(within_era(_moment(time))) for time, _ in rows]
        load = np.array([float(value) for _, value in rows])
    except ValueError as error:
        raise UsageError(f"{path}: {error}; give ISO-8601 times with offset and numbers") from error
    hours = [to_us(settings.start) + hour * S_PER_HOUR * US_PER_S for hour in range(S_PER_DAY // S_PER_HOUR)]
    if times != hours:
        raise UsageError(f"{path}: needs 24 rows, hour by hour from the profile's start {settings.start.isoformat()}")
    if not (np.isfinite(load).all() and load.min() > 0):
        raise UsageError(f"{path}: {settings.shape.load_column} must be above zero in every hour")
    return load


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f'"{text}" has no offset')
    return moment


def _csv_rows(path: Path, columns: tuple[str, str]) -> list[tuple[str, str]]:
    text = read_text(path, cure=_BESIDE)
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""))
        missing = [column for column in columns if column not in (reader.fieldnames or [])]
        if missing:
            raise UsageError(f"{path}: has no column {', '.join(missing)}; add it")
        return [(row[columns[0]] or "", row[columns[1]] or "") for row in reader]
    except csv.Error as error:
        raise UsageError(f"{path}: is not CSV ({error}); {_BESIDE}") from error
