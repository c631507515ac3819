"""Where the fields of a log's rows are: columns, and paths to what is inside them, as SQL.

A path is written with dots. A name that itself has dots takes precedence over a path, at every depth; a number may be
a place in a list, from 0. What is inside a text is looked for too, where the text is JSON.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

Keys = tuple[str, ...]
Value = Callable[[str], str]
"""SQL of what is at a path."""
Types = Mapping[str, Any]
"""DuckDB's types, by column."""


class Told(NamedTuple):
    """A column of a table as DuckDB calls it, and its type."""

    column: str
    kind: Any


Table = Mapping[str, Told]
"""The columns of a table by the names that the file has: DuckDB calls those otherwise that differ in case only."""
MOST_PARTS = 8
"""Parts of a path: each more doubles the names that it may mean."""
_OF_CACHES = ("cached_input_tokens", "cache_creation_input_tokens")
LEFT_OUT = "left out by --where"
"""What a row that is not to be read has in place of a reason."""


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A path, and the pattern (RE2) that matches what rows that are no requests have there, in any case.

    reason: why they are none, in which the value follows.
    """

    path: str
    pattern: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Fields:
    """What is taken of a row.

    sources: field -> paths, the first of which that has a value gives it; without any it is NULL. constants: field ->
    its value in every row. where: path -> the values, one of which a row that is read has. each: lists in a JSON
    record, whose elements make a row each; a path that begins as one of them leads into the element. from_first:
    numbers that are elements of the list `arrival` count from the first of it. zero_where_empty: a list without
    elements makes a row too, with 0 in all that it would tell. refusals: which rows are refused for what they tell.
    """

    sources: Mapping[str, Sequence[str]]
    constants: Mapping[str, str]
    where: Mapping[str, Sequence[str]]
    each: Sequence[str] = ()
    from_first: bool = False
    zero_where_empty: bool = False
    refusals: Sequence[Refusal] = ()


def segmentations(path: str) -> list[Keys]:
    """The keys that a path may mean, one after the other; names that have dots first."""
    return list(_segmented(path.split(".")))


def _segmented(parts: list[str]) -> Iterator[Keys]:
    for count in range(len(parts), 0, -1):
        head = ".".join(parts[:count])
        if count == len(parts):
            yield (head,)
        else:
            yield from ((head, *rest) for rest in _segmented(parts[count:]))


@dataclass(frozen=True, kw_only=True)
class JsonSource:
    """Relations of fields over JSON texts.

    simple: for texts that have none of the marks. whole: for all, which costs twice as much. marks: parts of texts with
    keys that have dots, or with JSON inside texts.
    """

    simple: str
    whole: str
    marks: tuple[str, ...]


def relation_of(source: str | JsonSource, batch: pa.RecordBatch) -> str:
    """What a reader gets of a batch of lines: the simple relation, if no text has what the other one is for."""
    if isinstance(source, str):
        return source
    texts = batch.column("text")
    _, offsets, data = texts.buffers()
    if data is None or not len(texts):
        return source.simple
    first, end = np.frombuffer(offsets, np.int32)[[texts.offset, texts.offset + len(texts)]]
    told = np.frombuffer(data, np.uint8)[first:end]
    dots = np.flatnonzero(told[1:-1] == ord(".")) + 1
    # what is on both sides of dots tells most texts apart: measured, half the time of searching for whole marks
    sides = set(np.unique(told[dots - 1].astype(np.uint16) << 8 | told[dots + 1]).tolist())
    for mark in (mark.encode() for mark in source.marks):
        dot = mark.find(b".", 1, -1)
        is_likely = mark[dot - 1] << 8 | mark[dot + 1] in sides if dot > 0 else bool((told == mark[0]).any())
        if is_likely and mark in told.tobytes():
            return source.whole
    return source.simple


def of_json(fields: Fields) -> str | JsonSource:
    """A relation with a column per field of the JSON objects in the column text of `lines`."""
    if fields.each:
        return _of_lists(fields)
    told = (*fields.sources.values(), fields.where, [refusal.path for refusal in fields.refusals])
    paths = [path for paths in told for one in paths for path in addends(one)]
    paths = [keys[0] if (keys := beginning_of_keys(path)) else path for path in paths]
    nested = {pair for path in paths for pair in _pairs(tuple(path.split(".")))}
    marks = ('\\"', *sorted(nested)) if nested else ()
    return JsonSource(simple=_of_objects(fields, simple=True), whole=_of_objects(fields, simple=False), marks=marks)


def _of_objects(fields: Fields, *, simple: bool) -> str:
    extract = _Extract("text", simple=simple)
    columns, kept = _columns(fields, extract.value), _kept(fields, extract.value)
    refused = _refused(fields, extract.value)
    return (
        f"(SELECT line, coalesce(fault, CASE WHEN found IS NULL THEN 'is not a JSON object' {kept} END{refused}) "
        f"AS fault, {columns} FROM (SELECT line, fault, text, {extract.all()} AS found FROM lines))"
    )


def placed(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Lines of text whose columns are called by their places, as `of_columns` wants them.

    In DuckDB the names of a file might be the same as line and fault, or differ in case only, and hide each other.
    """
    head, rest = batch.schema.names[:2], range(batch.num_columns - 2)
    return pa.record_batch(batch.columns, names=[*head, *map(_place, rest)])


def _place(number: int) -> str:
    return f"column {number}"


def of_columns(fields: Fields, names: Sequence[str]) -> str:
    """A relation with a column per field of `lines`, whose columns are texts and `placed`. names: those of the file."""

    def value(path: str) -> str:
        found = in_columns(path, names)
        return "NULL::VARCHAR" if found is None else _in_text(name_of(_place(names.index(found[0]))), found[1])

    kept = _kept(fields, value)
    fault = f"coalesce(fault, {f'CASE {kept} END' if kept else 'NULL'}{_refused(fields, value)})"
    return f"(SELECT line, {fault} AS fault, {_columns(fields, value)} FROM lines)"


def in_columns(path: str, names: Sequence[str]) -> tuple[str, str] | None:
    """The column that a path begins with and what is left of it, the longest name first; None where there is none."""
    parts = path.split(".")
    for count in range(len(parts), 0, -1):
        column = ".".join(parts[:count])
        if column in names:
            return column, ".".join(parts[count:])
    return None


def table_of(names: Sequence[str], types: Types) -> Table:
    """The columns of a table. names: as the file has them, in order. types: of the same columns, as DuckDB has them."""
    return {name: Told(column, kind) for name, (column, kind) in zip(names, types.items(), strict=False)}


def of_table(fields: Fields, table: Table) -> tuple[str, str]:
    """The columns of a table with typed columns as fields, and its fault."""

    def value(path: str) -> str:
        return _typed_at(path, table)

    columns = _columns(fields, value)
    kept = _kept(fields, lambda path: f"{value(path)}::VARCHAR")
    fault = f"CASE {kept} END" if kept else "NULL::VARCHAR"
    return columns, f"coalesce({fault}{_refused(fields, value)})" if fields.refusals else fault


def may_tell_cached(fields: Fields, names: Sequence[str]) -> bool:
    """Whether rows may tell cached tokens: where a format has no fields for them, it may read them out of another."""
    if not set(_OF_CACHES) <= fields.sources.keys():
        return True
    paths = [part for name in _OF_CACHES for path in fields.sources[name] for part in addends(path)]
    return any(in_columns(path, names) for path in paths) or any(name in fields.constants for name in _OF_CACHES)


def _columns(fields: Fields, value: Value) -> str:
    found = {field: _one_of(field, [_sum(path, value) for path in paths]) for field, paths in fields.sources.items()}
    found |= {field: literal(constant) for field, constant in fields.constants.items()}
    for field in found if fields.zero_where_empty else ():
        told = fields.constants.get(field) or any(_is_inside(fields, path) for path in fields.sources.get(field, ()))
        if told and not field.startswith("window_"):
            found[field] = f"CASE WHEN is_empty THEN '0' ELSE ({found[field]})::VARCHAR END"
    return ", ".join(f"{expression} AS {name_of(field)}" for field, expression in found.items())


def _is_inside(fields: Fields, path: str) -> bool:
    """Whether a path leads into the elements of a list."""
    return any(f"{path}.".startswith(f"{name}.") for name in fields.each)


def addends(path: str) -> list[str]:
    """The paths whose numbers make a value: several with " + " between."""
    return path.split(" + ")


def beginning_of_keys(path: str) -> tuple[str, str] | None:
    """Of a path such as usage.input*, the path to the object and what its keys begin with; None for any other."""
    above, dot, name = path.rpartition(".")
    return (above, name[:-1]) if dot and name.endswith("*") else None


def _sum(path: str, value: Value) -> str:
    """What is at a path, or the sum of what is at several; what is not there adds nothing, and NULL if none is.

    Of keys that begin alike, others are a part that is never the whole, so that the first of several has to be there.
    Where what is there is no number, the sum is a text that is none, for which readers refuse the row.
    """
    parts = addends(path)
    keys = [beginning_of_keys(part) for part in parts]
    if len(parts) == 1 and not keys[0]:
        return value(path)
    told = [
        f"values_under(({value(key[0])})::VARCHAR, {literal(key[1])})" if key else f"[({value(part)})::VARCHAR]"
        for part, key in zip(parts, keys, strict=True)
    ]
    return f"sum_of([{', '.join(told)}], {literal(any(keys))})"


def _one_of(field: str, values: Sequence[str]) -> str:
    """The first value that is there; of tokens that are told under several names the largest, as one may be 0.

    Where one of them is told and no number, it is -1, for which readers refuse the row: which is right is not known.
    """
    if len(values) < 2 or not field.endswith("_tokens"):
        return _first(values)
    return f"largest_told([{', '.join(f'({value})::VARCHAR' for value in values)}])"


def _first(values: Sequence[str]) -> str:
    """The first that is there; of several, as text, as they may be of different types. A hyphen stands for none."""
    if len(values) <= 1:
        return values[0] if values else "NULL::VARCHAR"
    told = ", ".join(f"nullif(nullif(({value})::VARCHAR, ''), '-')" for value in values)
    return f"coalesce({told})"


def _kept(fields: Fields, value: Value) -> str:
    """The branch of a CASE that leaves out the rows that are not asked for."""
    # what no element tells does not leave out a list without any
    tests = [
        f"coalesce({' OR '.join(_equals(value(path), one) for one in ones)}, "
        f"{'is_empty' if fields.zero_where_empty and _is_inside(fields, path) else 'false'})"
        for path, ones in fields.where.items()
    ]
    return f"WHEN NOT ({' AND '.join(tests)}) THEN {literal(LEFT_OUT)}" if tests else ""


def _refused(fields: Fields, value: Value) -> str:
    """More arguments of a coalesce: why a row is refused for what it tells."""
    return "".join(
        f", told_against(({value(one.path)})::VARCHAR, {', '.join(map(literal, (one.pattern, one.reason, one.path)))})"
        for one in fields.refusals
    )


def _equals(value: str, wanted: str) -> str:
    """Whether a value is the one that is asked for: as text, or as a number; truth values in any case."""
    if wanted.lower() in ("true", "false"):
        return f"lower({value}) = {literal(wanted.lower())}"
    if _is_number(wanted):
        return f"(({value}) = {literal(wanted)} OR TRY_CAST({value} AS DOUBLE) = {float(wanted)!r})"
    return f"({value}) = {literal(wanted)}"


def _is_number(text: str) -> bool:
    try:
        return float(text) not in (float("inf"), float("-inf")) and float(text) == float(text)
    except ValueError:
        return False


class _Extract:
    """Values of JSON texts, which are taken apart once for all paths.

    text: the column, as SQL. simple: whether no key has dots, and no text is JSON.
    """

    def __init__(self, text: str, found: str = "found", *, simple: bool = False) -> None:
        self._text, self._found, self._simple = text, found, simple
        self._pointers: list[str] = []

    def value(self, path: str) -> str:
        """The value at a path, as text."""
        *dotted, plain = segmentations(path)
        direct = f"{self._found}[{self._place(pointer(plain))}]"
        if not dotted or self._simple:
            return direct
        # most records have neither keys with dots nor texts that are JSON, whose quotes are escaped
        named = [literal(pointer(keys)) for keys in dotted]
        keys = " OR ".join(f"contains({self._text}, {literal(pair)})" for pair in _pairs(plain))
        own = f"CASE WHEN {self._found} IS NOT NULL AND ({keys}) THEN {_first_of(self._text, named)} END"
        inside = [_inside(self._text, parts) for parts in _splits(path)]
        nested = (
            f"CASE WHEN {self._found} IS NOT NULL AND contains({self._text}, '\\\"') "
            f"THEN coalesce({', '.join([*inside, 'NULL'])}) END"
        )
        return f"coalesce({own}, {direct}, {nested})"

    def all(self) -> str:
        """What is taken out of an object; NULL where the text is none."""
        pointers = ", ".join(literal(each) for each in self._pointers or [""])
        text = self._text
        is_object = f"(({text})[1] = '{{' OR TRY(json_type({text})) = 'OBJECT')"
        return f"CASE WHEN {is_object} THEN TRY(json_extract_string({text}, [{pointers}])) END"

    def _place(self, where: str) -> int:
        if where not in self._pointers:
            self._pointers.append(where)
        return self._pointers.index(where) + 1


def _first_of(text: str, pointers: Sequence[str]) -> str:
    """The first value that a JSON text has at one of some pointers."""
    return f"list_filter(json_extract_string({text}, [{', '.join(pointers)}]), lambda each: each IS NOT NULL)[1]"


def _pairs(keys: Keys) -> list[str]:
    """What a text has somewhere that has two or more of some keys in one, with dots between."""
    return [f"{one}.{other}" for one, other in pairwise(keys)]


def _splits(path: str) -> list[tuple[str, str]]:
    """Where a text that is JSON may be on the way: the path to it, and that inside it."""
    parts = path.split(".")
    return [(".".join(parts[:count]), ".".join(parts[count:])) for count in range(1, len(parts))]


def _inside(text: str, parts: tuple[str, str]) -> str:
    """The value in the JSON of a text that lies at a path."""
    outer, inner = parts
    places = [f"json_extract_string({text}, {literal(pointer(keys))})" for keys in segmentations(outer)]
    return _in_text(f"coalesce({', '.join([*places, 'NULL'])})", inner)


def _in_text(value: str, path: str) -> str:
    """The value at a path in a text that may be JSON; the text itself where no path is left."""
    if not path:
        return value
    pointers = [literal(pointer(keys)) for keys in segmentations(path)]
    return f"CASE WHEN json_valid({value}) THEN {_first_of(value, pointers)} END"


def _of_lists(fields: Fields) -> str:
    """The same where the elements of lists make a row each; those of several lists go together by their place.

    A record may have a hundred thousand elements: whatever is of the record is taken once, in a step before.
    """
    outer, inner = _Extract("text"), [_Extract(f"element_{n}::VARCHAR", f"inner_{n}") for n in range(len(fields.each))]
    counted = [fields.from_first and name in fields.sources.get("arrival", ()) for name in fields.each]
    beside: dict[str, str] = {}

    def value(path: str) -> str:
        for number, name in enumerate(fields.each):
            if path == name:
                element = f"element_{number}"
                return f"({element} - least_{number})::VARCHAR" if counted[number] else f"({element} ->> '$')"
            if path.startswith(f"{name}."):
                return inner[number].value(path.removeprefix(f"{name}."))
        beside[path] = outer.value(path)
        return f"outer_{list(beside).index(path)}"

    columns, kept = _columns(fields, value), _kept(fields, value)
    refused = _refused(fields, value)
    told = "".join(f", {expression} AS outer_{n}" for n, expression in enumerate(beside.values()))
    places = [literal(pointer(tuple(name.split(".")))) for name in fields.each]
    kinds = [f"json_type(text, {place}) = 'ARRAY'" for place in places]
    some = f"coalesce(CASE WHEN found IS NOT NULL THEN {' OR '.join(kinds)} END, false)"
    none = [f"json_array_length(text, {place}) = 0" for place in places] if fields.zero_where_empty else ["false"]
    lists = "".join(
        f", {_numbers(_elements(name)) if is_time else _elements(name)} AS list_{n}"
        for n, (name, is_time) in enumerate(zip(fields.each, counted, strict=True))
    )
    least = "".join(f", list_min(list_{n}) AS least_{n}" for n, is_time in enumerate(counted) if is_time)
    opened = "".join(f", unnest(list_{n}) AS element_{n}" for n in range(len(fields.each)))
    found = "".join(f", {each.all()} AS inner_{n}" for n, each in enumerate(inner))
    nothing = " AND ".join(["NOT is_empty", *(f"element_{n} IS NULL" for n in range(len(fields.each)))])
    named = " and ".join(fields.each)
    return (
        "(SELECT line, coalesce(fault, CASE WHEN found IS NULL THEN 'is not a JSON object' "
        f"WHEN {nothing} THEN {literal(f'has no list {named}')} {kept} END{refused}) AS fault, {columns} FROM ("
        f"SELECT *{found} FROM (SELECT *{opened} FROM (SELECT *{least} FROM (SELECT * EXCLUDE (text){lists} FROM ("
        f"SELECT *, has_list AND {' AND '.join(none)} AS is_empty FROM (SELECT *, {some} AS has_list{told} FROM ("
        f"SELECT line, fault, text, {outer.all()} AS found FROM lines)))))))"
        ")"
    )


def _elements(name: str) -> str:
    """The elements of a list of a record, or one that is nothing. name: of the list, a path."""
    return (
        f"CASE WHEN has_list AND NOT is_empty THEN json_extract(text, {literal(_every(name))}) ELSE [NULL]::JSON[] END"
    )


def _numbers(elements: str) -> str:
    """The numbers in a list of JSON."""
    return f"[TRY_CAST((each ->> '$') AS DECIMAL(38, 9)) for each in {elements}]"


def _every(name: str) -> str:
    """DuckDB's path to all elements of a list. name: of the list, a path."""
    return "$" + "".join(f'."{key}"' for key in name.split(".")) + "[*]"


def pointer(keys: Keys) -> str:
    """The JSON pointer to what lies under keys."""
    return "".join("/" + key.replace("~", "~0").replace("/", "~1") for key in keys)


_WHOLE = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")


def _typed_at(path: str, table: Table) -> str:
    """What lies at a path of a table, as one of the few types that the macros of readers accept."""
    found = in_columns(path, list(table))
    if found is None:
        return "NULL::VARCHAR"
    name, rest = found
    places = list(_places(name_of(table[name].column), table[name].kind, rest))
    values = [_typed(expression, kind) for expression, kind in places]
    return _first(values)


def _places(expression: str, kind: Any, path: str) -> Iterator[tuple[str, Any]]:
    """The expressions that a path below a value may mean, with their types."""
    if not path:
        yield expression, kind
        return
    parts = path.split(".")
    splits = [(".".join(parts[:count]), ".".join(parts[count:])) for count in range(len(parts), 0, -1)]
    if kind.id == "struct":
        members = dict(kind.children)
        for name, rest in splits:
            if name in members:
                yield from _places(f"struct_extract({expression}, {literal(name)})", members[name], rest)
    elif kind.id == "map":
        for name, rest in splits:
            yield from _places(f"map_extract({expression}, {literal(name)})[1]", kind.children[1][1], rest)
    elif kind.id == "list" and parts[0].isdigit():
        yield from _places(f"({expression})[{int(parts[0]) + 1}]", kind.children[0][1], ".".join(parts[1:]))
    elif str(kind) in ("VARCHAR", "JSON"):
        yield _in_text(f"{expression}::VARCHAR", path), "VARCHAR"


def _typed(expression: str, type_of: Any) -> str:
    """An expression as one of the few types that the macros of readers accept."""
    kind = str(type_of)
    if kind.startswith(("STRUCT", "MAP")):
        return f"to_json({expression})::VARCHAR"
    if kind.endswith("]"):
        return f"array_to_string({expression}::VARCHAR[], ' ')"
    if kind.removeprefix("U") in _WHOLE or (kind.startswith("DECIMAL") and kind.endswith(",0)")):
        return f"TRY_CAST({expression} AS BIGINT)"
    if kind in ("FLOAT", "DOUBLE") or kind.startswith("DECIMAL"):
        # what is not a number has no value, and what is infinite is none that can be converted
        number = f"{expression}::DOUBLE"
        return f"CASE WHEN isfinite({number}) THEN {number} WHEN NOT isnan({number}) THEN -1 END"
    if kind in ("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ_NS"):
        return f"TRY_CAST({expression} AS TIMESTAMPTZ)"
    return f"TRY_CAST({expression} AS TIMESTAMP)" if kind.startswith("TIMESTAMP") else f"{expression}::VARCHAR"


def literal(value: object) -> str:
    """A value as SQL."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else "'" + str(value).replace("'", "''") + "'"


def name_of(identifier: str) -> str:
    """A name as SQL."""
    return '"' + identifier.replace('"', '""') + '"'
