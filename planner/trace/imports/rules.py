"""How the rows of a log are read: what the options and a mapping say, and whether the log has what they name."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from planner.errors import TraceError
from planner.store.fields import Fields, Refusal, addends, beginning_of_keys
from planner.trace.imports import containers, layout, paths
from planner.trace.imports.job import ImportOptions
from planner.trace.imports.mapping import LogMapping, listed, text_of
from planner.trace.imports.readers import NO_HEADER, Reader
from planner.trace.imports.unpacking import Log

_TIMES = ("arrival", "window_start", "window_end")
_UTC = ("[utc]", "(utc)")


def applied(mapping: LogMapping, options: ImportOptions, *, ready: bool = False) -> ImportOptions:
    """How a log is read with a mapping; what the options say themselves takes precedence.

    ready: whether the mapping is shipped, so that a log may lack what is optional.
    """
    own = {field: listed(paths) for field, paths in mapping.columns.items() if field not in options.constants}
    constants = {name: text_of(value) for name, value in mapping.constants.items() if name not in options.columns}
    where = {path: tuple(map(text_of, listed(values))) for path, values in mapping.where.items()}
    stated = {*options.columns, *options.constants}
    refusals = [
        Refusal(path=path, pattern=one.pattern, reason=one.reason)
        for one in mapping.refuse
        for path in listed(one.column)
    ]
    return replace(
        options,
        columns={**own, **options.columns},
        constants={**constants, **options.constants},
        where={**where, **options.where},
        records=options.records or (() if ready else listed(mapping.records)),
        each=listed(mapping.each),
        times_from_first=mapping.times_from_first,
        cached=options.cached or mapping.cached,
        time_unit=options.time_unit or (None if options.time_format else mapping.time_unit),
        time_format=options.time_format or (None if options.time_unit else mapping.time_format),
        times_in=None if stated & set(_TIMES) else mapping.times_in,
        refusals=tuple(refusals),
        zero_where_empty=bool(mapping.each) and "windows" in mapping.formats,
        needs_tokens=ready,
        may_lack=frozenset(own) - frozenset(options.columns) if ready else frozenset(),
    )


def paths_of(field: str, reader: Reader, options: ImportOptions) -> tuple[str, ...]:
    """Where a field may be: under its usual name, if it has one and nothing is said."""
    return listed(options.columns.get(field, reader.named.get(field, field) or ()))


def zone_in_names(reader: Reader, options: ImportOptions) -> str | None:
    """The zone of times that their columns tell, as those do that Log Analytics calls TimeGenerated [UTC]."""
    times = [field for field in _TIMES if field in reader.columns and field not in options.constants]
    places = [path for field in times for path in paths_of(field, reader, options)]
    return "UTC" if places and all(path.strip().lower().endswith(_UTC) for path in places) else None


def fields_of(reader: Reader, options: ImportOptions) -> Fields:
    """What is taken of a row."""
    return Fields(
        sources={field: paths_of(field, reader, options) for field in reader.fields},
        constants=options.constants,
        where=options.where,
        each=options.each,
        from_first=options.times_from_first,
        zero_where_empty=options.zero_where_empty,
        refusals=options.refusals,
    )


def has(record: paths.Record, path: str, options: ImportOptions) -> bool:
    """Whether a JSON record has something at a path, or in an element of a list that makes rows."""
    for name in options.each:
        if path == name:
            return paths.list_at(record, name) is not None
        if path.startswith(f"{name}."):
            inside = path.removeprefix(f"{name}.")
            elements = paths.list_at(record, name)
            if elements == [] and options.zero_where_empty:
                return True
            return any(paths.has_path(element, inside) for element in elements or ())
    return paths.has_path(record, path)


def check_fields(
    log: Log, reader: Reader, options: ImportOptions, is_there: Callable[[str], bool], there: Sequence[str]
) -> None:
    """Raises TraceError where a column that is needed, or was named, is missing.

    is_there: whether something is at a path. there: names for the message.
    """
    named = [field for field in options.columns if field not in options.may_lack]
    needed = [field for field in dict.fromkeys((*reader.columns, *named)) if field not in options.constants]

    def has_some(path: str) -> bool:
        parts = [keys[0] if (keys := beginning_of_keys(part)) else part for part in addends(path)]
        return any(map(is_there, parts))

    missing = [field for field in needed if not any(map(has_some, paths_of(field, reader, options)))]
    absent = [" or ".join(paths_of(field, reader, options)) for field in missing] + [
        path for path in options.where if not is_there(path)
    ]
    if not absent:
        return
    cure = "map it with --column FIELD=NAME" if reader.optional else "check the file, or give another --format"
    if "arrival" in missing and reader.optional:
        cure += ", or, where all came at one time, give --constant arrival=TIME"
    if "requests" in missing and reader.mapping is not None:
        cure = "the log counts none, so give --constant requests=N for those of a row"
    if not missing:
        cure = "correct --where"
    cure = NO_HEADER if layout.without_names(there) else cure
    nothing = "its first records have no" if layout.kind_of(log)[0] == "json" else "has no column"
    raise TraceError(f"{log}: {nothing} {', '.join(absent)} (it has {containers.shown(there)}); {cure}")
