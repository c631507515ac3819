"""How good forecasts have been, and what they say about the future, as JSON documents."""

from collections.abc import Mapping
from dataclasses import dataclass

from planner.documents import Document, Maybe, Time
from planner.planning.told import FindingKind


@dataclass(frozen=True, kw_only=True)
class ForecastHistory(Document):
    """The stored demand that is forecast."""

    start: Time
    end: Time
    intervals: int


@dataclass(frozen=True, kw_only=True)
class LeadError(Document):
    """The error of forecasts that were made some time ahead."""

    lead_s: int
    """Seconds from the forecast to the end of the interval."""
    wape: float | None
    """Sum of |forecast - actual| over the sum of actuals; null if no forecast was made so far ahead."""


@dataclass(frozen=True, kw_only=True)
class MethodScore(Document):
    """How one method did on one series; errors are null if no tokens were asked for."""

    method: str
    series: str
    """input_tokens or output_tokens."""
    mape: float | None
    """Mean of |forecast - actual| / actual, over intervals with any tokens."""
    wape: float | None
    """Sum of |forecast - actual| over the sum of actuals."""
    bias: float | None
    """Sum of (forecast - actual) over the sum of actuals; above zero if forecasts were too high."""
    coverage: Mapping[str, float | None]
    """By quantile, q90 for that of 0.9: share of actuals at or below the quantile; null if none is known."""
    intervals: int
    """Intervals that were forecast."""
    left_out: int
    """Intervals of these that are not scored: nothing is known of them, or they are declared unusual."""
    pairs: int
    """Forecasts that were compared with an actual."""
    wape_by_lead: tuple[LeadError, ...]


@dataclass(frozen=True, kw_only=True)
class BestMethods(Document):
    """The methods to use at these leads: the scenario's, unless another one has lost a twentieth less so far.

    What is lost is the pinball loss at policy.quantile, over at least a week.
    """

    method: str
    """For both series."""
    input_tokens: str
    output_tokens: str


@dataclass(frozen=True, kw_only=True)
class IntervalForecast(Document):
    """What is expected of one interval, in tokens: under "forecast", and by quantile, q90 for that of 0.9."""

    start: Time
    input_tokens: Mapping[str, float | None]
    """Input tokens; null if too few errors are known for a quantile."""
    output_tokens: Mapping[str, float | None]
    """Output tokens; null if too few errors are known for a quantile."""


@dataclass(frozen=True, kw_only=True)
class ForecastAhead(Document):
    """The forecast of the time after the history."""

    method: str
    intervals: tuple[IntervalForecast, ...]


@dataclass(frozen=True, kw_only=True)
class ForecastFlag(Document):
    """Something that was found in the history, or is declared of it or of the time that is forecast."""

    kind: FindingKind
    """Found: outage or burst, which no forecast learns from; level, a change that forecasts follow from its start on.
    Declared, and not learned from either: incident, a table [[incident]]; ignored, a date of forecast.ignore; holiday,
    of forecast.holidays; event, a table [[event]]."""
    start: Time
    end: Time
    """Of a change of level, the end of the history."""
    ratio: float | None
    """What came over what was expected; of a level, over the level before; null for what is declared."""
    name: Maybe[str] = None
    """Of a holiday or an event; left out for other kinds."""
    factor: Maybe[float] = None
    """What the usual demand of a holiday or an event is multiplied by; left out for other kinds."""
    planned: bool = False
    """Whether it is a holiday or an event of the time that is forecast."""


@dataclass(frozen=True, kw_only=True)
class ForecastDocument(Document):
    """Back-tests of forecasts of stored demand, and a forecast of what follows it."""

    scenario: str
    trace: str
    """Names of the traces, joined by commas."""
    traces: tuple[str, ...]
    interval_s: int
    season: str
    """The period that repeats: a day or a week."""
    horizon: int
    """Intervals that forecasts look ahead."""
    horizon_s: int
    """The same in seconds."""
    history: ForecastHistory
    scored_from: Time
    """Intervals from this time on are forecast from those before them, by every method."""
    methods: tuple[MethodScore, ...]
    best: BestMethods
    forecast: ForecastAhead
    flags: tuple[ForecastFlag, ...] = ()
    """What was found in the history, and what is declared of it and of the time that is forecast, in order of time."""
    notes: tuple[str, ...] = ()
    """What is taken of stored traces, how their demand is changed, what of it is not learned from, and why."""
    page: Maybe[str] = None
    """File of the page; left out if none was asked for."""
    files: Maybe[tuple[str, ...]] = None
    """All files of the page; left out if none was asked for."""
