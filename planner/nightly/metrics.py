"""The metrics of the service, in the Prometheus text format."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from planner.nightly.documents import LedgerRow, PlannedUnitsDocument
from planner.nightly.health import Health
from planner.nightly.past_days import PastDay


@dataclass(frozen=True)
class Metric:
    """A metric with its samples: labels -> value; the label "" stands for none."""

    name: str
    kind: str
    meaning: str
    samples: Mapping[str, float]

    def lines(self) -> list[str]:
        """The metric in the text format."""
        name = f"planner_{self.name}"
        return [
            f"# HELP {name} {self.meaning}",
            f"# TYPE {name} {self.kind}",
            *(f"{name}{labels} {value:.15g}" for labels, value in self.samples.items()),
        ]


def metrics_text(health: Health) -> str:
    """The metrics of the service, a sample per job. Counts are those of the ledger, so they outlive a restart."""
    metrics = [*_ledger_metrics(health.rows), *_forecast_metrics(health.newest_days), *_service_metrics(health)]
    return "\n".join(line for metric in metrics for line in metric.lines()) + "\n"


def planned_text(planned: PlannedUnitsDocument) -> str:
    """The planned units of this moment in the text format; a job without a plan for it has no sample."""
    samples = {
        f'{{job="{job}",role="{role}"}}': float(getattr(units, role))
        for job, units in sorted(planned.jobs.items())
        for role in units.roles
    }
    metric = Metric("planned_units", "gauge", "Units of the plan that is in force.", samples)
    return "\n".join(metric.lines()) + "\n"


def _ledger_metrics(rows: Sequence[LedgerRow]) -> list[Metric]:
    states: dict[str, float] = {}
    for row in rows:
        labels = f'{{job="{row.job}",status="{row.status}"}}'
        states[labels] = states.get(labels, 0) + 1
    # rows are in order of date: the newest of a job is its last
    done = {f'{{job="{row.job}"}}': row for row in rows if row.status == "done"}
    ended = {labels: (row, row.finished_at) for labels, row in sorted(done.items()) if row.finished_at is not None}
    return [
        Metric("schedule_dates", "gauge", "Logical dates in the ledger by state.", dict(sorted(states.items()))),
        Metric(
            "schedule_last_done_timestamp_seconds",
            "gauge",
            "When the newest date was done.",
            {labels: end.timestamp() for labels, (_, end) in ended.items()},
        ),
        Metric(
            "schedule_last_duration_seconds",
            "gauge",
            "How long the newest date took.",
            {labels: (end - row.started_at).total_seconds() for labels, (row, end) in ended.items()},
        ),
    ]


def _forecast_metrics(days: Sequence[PastDay]) -> list[Metric]:
    """days: the newest compared day of each job."""
    jobs = {f'{{job="{day.job}"}}': day for day in days}
    return [
        Metric(
            "schedule_output_wape",
            "gauge",
            "Forecast error of output tokens on the newest compared day, as a share.",
            {labels: day.output_wape for labels, day in jobs.items() if day.output_wape is not None},
        ),
        Metric(
            "schedule_error_cost_usd",
            "gauge",
            "Cost of the forecast error on that day.",
            {labels: day.error_cost_usd for labels, day in jobs.items()},
        ),
        Metric(
            "schedule_drift",
            "gauge",
            "1 if the forecast error has been beyond the band for days.",
            {labels: float(day.drift) for labels, day in jobs.items()},
        ),
    ]


def _service_metrics(health: Health) -> list[Metric]:
    return [
        Metric("schedule_busy", "gauge", "1 while a night is run.", {"": float(health.busy)}),
        Metric(
            "schedule_errors_total",
            "counter",
            "Failed checks of the ledger since the start.",
            {"": float(health.errors)},
        ),
        Metric(
            "schedule_notifications_waiting",
            "gauge",
            "Notifications that have not arrived yet.",
            {"": float(health.waiting)},
        ),
        Metric(
            "schedule_notification_failures_total",
            "counter",
            "Attempts to send a notification that failed since the start.",
            {"": float(health.unsent)},
        ),
        Metric(
            "dropped_connections_total",
            "counter",
            "Connections to this server that ended before they were answered since the start.",
            {"": float(health.dropped)},
        ),
        Metric(
            "schedule_start_timestamp_seconds",
            "gauge",
            "When the service started.",
            {"": health.started_at.timestamp()},
        ),
    ]
