"""The documents of stored traces: what the trace commands print as JSON, and the outcome of an import."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from planner.documents import Document, Maybe, Time
from planner.settings.closed import Weekday


@dataclass(frozen=True, kw_only=True)
class LengthCoverage(Document):
    """How much of an imported demand per window has known lengths."""

    requests: int
    """Requests that the windows count."""
    requests_with_lengths: int
    """Requests whose tokens are counted too."""
    request_share: float | None
    """Share of the requests whose tokens are counted; null where there are no requests."""


@dataclass(frozen=True, kw_only=True)
class ClientCoverage(LengthCoverage):
    """The same for demand per client, with the tokens expected from the known lengths."""

    clients: int
    clients_with_lengths: int
    expected_input_tokens: float
    """Expected input tokens of the requests with lengths, before rounding."""
    expected_output_tokens: float
    """Expected output tokens of the requests with lengths, before rounding."""
    expected_images: Maybe[float] = None
    """Expected images; left out where no client sends any."""
    expected_image_tokens: Maybe[float] = None
    """Expected tokens of the images, which the input tokens do not include."""


Coverage = ClientCoverage | LengthCoverage


@dataclass(frozen=True, kw_only=True)
class TraceSummary(Document):
    """A stored trace in a few figures; requests and tokens are real ones, the sample weight applied."""

    trace: str
    """Name that the trace is stored under."""
    origin: str
    """synthetic, import, windows (imported demand per window, without requests), or expanded: with requests drawn like
    the rows of a sample, or from windows."""
    format: str | None
    """Log format that it was imported from; null where it was drawn from a profile."""
    profile: str | None
    """Load profile that it was drawn from; null where it was imported."""
    sample_weight: int
    """Real requests that each stored row stands for."""
    rows: int
    """Stored rows; of windows, the requests that they count."""
    requests: int
    input_tokens: int
    """Input tokens, those found in the KV cache included."""
    cached_input_tokens: int
    """Input tokens found in the KV cache, as far as that is known."""
    cached_unknown: int
    """Requests whose cached tokens are not known; they are planned as none cached."""
    output_tokens: int
    first_arrival: Time
    last_arrival: Time
    timezone: str
    """IANA zone of the times."""
    block_tokens: int | None
    """Tokens of a prefix block; null where the trace has no blocks."""
    created_at: Time
    """When it was stored."""


@dataclass(frozen=True, kw_only=True)
class ImportAccount(TraceSummary):
    """The outcome of an import: the stored trace, and the rows that were read, imported, rejected and left out."""

    rows_read: int
    rows_imported: int
    rows_rejected: int
    rows_left_out: int
    """Rows that were not asked for: those read are the imported, the rejected and these."""
    rejects: dict[str, int]
    """Rejected rows by reason."""
    coverage: Coverage | None
    """How much of a demand per window has lengths; null for a log of requests."""
    known_as: str | None
    """Trace that the same files with the same options made before; if it has the name asked for, nothing was read."""
    skipped: tuple[str, ...]
    """Names of files in the given folders and archives that are not logs."""
    empty: tuple[str, ...]
    """Names of logs without a row: empty, or with nothing below the header."""
    notes: tuple[str, ...]
    """What is to be known of how the log was read."""


@dataclass(frozen=True, kw_only=True)
class RejectedRows(Document):
    """The rows that an import rejected for one reason."""

    reason: str
    rejected: int
    """Rows."""
    first_file: str
    """File of the first of them."""
    first_line: int
    """Line of the first of them, from 1; a row where the file is Parquet."""


@dataclass(frozen=True, kw_only=True)
class PreviewedRow(Document):
    """A row of a log as an import would store it."""

    file: str
    line: int
    """Line of the file, from 1; a row where it is Parquet."""
    arrival: Time
    """Arrival of the request; where the log has demand per window, its start."""
    end: Maybe[Time] = None
    """End of the window; left out for a request."""
    requests: Maybe[int] = None
    """Requests of the window; left out for a request."""
    input_tokens: int
    cached_input_tokens: int | None
    """Those that the log tells; null where it tells none."""
    output_tokens: int
    class_name: Annotated[str | None, Field(serialization_alias="class")] = None
    """Class of the request."""
    session: str | None = None
    """Session of the request, as the log names it."""


@dataclass(frozen=True, kw_only=True)
class ImportPreview(Document):
    """What an import would do: `planner trace import --dry-run`."""

    files: tuple[str, ...]
    """Logs that would be read."""
    format: str
    """Log format that was found or given."""
    columns: dict[str, str]
    """Field -> column of the log or path to it; of several, with " or " between."""
    constants: dict[str, str]
    """Field -> its value in every row."""
    where: dict[str, tuple[str, ...]]
    """Column or path -> values of the rows that would be read."""
    rows_read: int
    rows_imported: int
    rows_rejected: int
    rows_left_out: int
    """Rows that are not asked for."""
    first_rows: tuple[PreviewedRow, ...]
    """The first rows as they would be stored, by arrival."""
    rejects: tuple[RejectedRows, ...]
    """Rows that would be rejected, by reason."""
    notes: tuple[str, ...]
    """How times that a clock shows twice, units, block sizes and cached tokens are read."""
    problem: str | None
    """Why the log as a whole would be refused; null where it would be stored."""
    skipped: tuple[str, ...]
    """Names of files in the given folders and archives that are not logs."""
    empty: tuple[str, ...]
    """Names of logs without a row."""


@dataclass(frozen=True, kw_only=True)
class ExpandedTrace(TraceSummary):
    """A trace with every request, made of a sample or of demand per window."""

    expanded_from: str
    """The trace that it was made of."""
    part_start: Maybe[Time] = None
    """Start of the part of it; left out for the whole."""
    part_end: Maybe[Time] = None
    """End of the part of it; left out for the whole."""
    seed: int
    """Seed of the draw."""
    rows_kept: int
    """Requests that are rows of the sample, unchanged."""
    rows_drawn: int
    """Requests that were drawn."""
    notes: tuple[str, ...]
    """What is to be known of how they were drawn."""
    is_known: bool
    """Whether it was stored before, so that nothing was drawn."""


@dataclass(frozen=True, kw_only=True)
class TokenLengths(Document):
    """Tokens per request of one kind, over the stored rows."""

    field: str
    """input_tokens, cached_input_tokens or output_tokens."""
    mean: float
    p50: int
    p90: int
    p95: int
    p99: int
    max: int


@dataclass(frozen=True, kw_only=True)
class TraceHour(Document):
    """The demand of one local hour."""

    start: Time
    requests: int
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int


@dataclass(frozen=True, kw_only=True)
class TraceClass(Document):
    """What the requests of one class ask for."""

    name: Annotated[str, Field(serialization_alias="class")]
    """Its name: a model, tier or tenant."""
    requests: int
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int


@dataclass(frozen=True, kw_only=True)
class TraceWeekHour(Document):
    """The mean demand of an hour of the local clock on a weekday."""

    weekday: Weekday
    hour: int
    """Hour of the clock, 0 to 23."""
    hours: int
    """Hours of the trace that are meant: how often the trace has this weekday and hour."""
    mean_requests: float
    mean_input_tokens: float
    mean_output_tokens: float


@dataclass(frozen=True, kw_only=True)
class UnservedRequests(Document):
    """Requests of a trace that are longer than the units of a scenario can serve."""

    scenario: str
    limit_tokens: int
    """Most tokens of a request, input and output together, that a unit serves."""
    limit: str
    """What sets that limit: the context of the model, or the KV cache of the GPUs that a stream is on."""
    requests: int
    """Requests that are longer."""
    tokens: int
    """Their tokens, input and output."""


@dataclass(frozen=True, kw_only=True)
class TraceDescription(TraceSummary):
    """A stored trace as `planner trace show` describes it."""

    cache_hit_ratio: float | None
    """Share of the input tokens that were found in the KV cache; null where there are none, or none is known."""
    kv_tokens_per_output_token: float | None
    """Mean KV length behind an output token; null where there is no output."""
    kv_standard_error: float | None
    """Sampling error of kv_tokens_per_output_token, one standard deviation, in tokens."""
    peak_to_mean_hour: float | None
    """Output tokens of the busiest hour over those of the mean hour."""
    peak_hour: TraceHour | None
    """The hour with the most output tokens, or input tokens without any; null without those, or if too many to list."""
    longest_request_tokens: int | None
    """Input and output tokens of the longest request; null for demand per window."""
    unserved: UnservedRequests | None
    """Requests that are too long for the scenario of --scenario; null where none is named, or it has no such limit."""
    classes: tuple[TraceClass, ...]
    """The classes of the requests, most requests first; empty where they have none."""
    week: tuple[TraceWeekHour, ...]
    """The mean hour by weekday and hour of the local clock, Monday's midnight first; empty as hours is."""
    lengths: tuple[TokenLengths, ...]
    """Distribution of tokens per request; empty for demand per window."""
    coverage: Coverage | None
    """How much of a demand per window has lengths; null for a trace of requests."""
    rows_read: int
    rows_rejected: int
    rows_left_out: int
    """Rows of the log that the import was not asked for."""
    rejects: tuple[RejectedRows, ...]
    hours_left_out: int
    """Hours that the trace spans where they are too many to list; 0 where they are listed."""
    hours: tuple[TraceHour, ...]


@dataclass(frozen=True, kw_only=True)
class TraceExport(Document):
    """A trace that was written to a file."""

    trace: str
    out: str
    """The file."""
    rows: int
    format: str
    import_command: Annotated[str, Field(serialization_alias="import")]
    """Command that reads the file back."""
    left_out: tuple[str, ...]
    """Parts of the trace that the format cannot carry."""
    notes: tuple[str, ...]
    """What to know before the file is opened elsewhere."""


@dataclass(frozen=True, kw_only=True)
class TraceDeletion(Document):
    """A trace that was deleted."""

    trace: str
    deleted: bool
    runs_kept: tuple[str, ...]
    """Ids of the runs made from it, which are kept."""
