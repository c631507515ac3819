"""The subject of a capacity study: an engine by names of the catalogue, its units, the workload and the target."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from planner.capacity.bands import TimeBand, own_measurements, time_band
from planner.capacity.documents import EngineHead
from planner.capacity.engines import (
    Workload,
    balanced_engine,
    carried_over,
    decode_engine,
    missed_rate,
    notes,
    prefill_engine,
    usual_settings,
)
from planner.capacity.spread import SPREADING, fitting_spread, usual_spread
from planner.catalogue.read import DEFAULT_SCENARIO, engine_profile, hardware, model
from planner.catalogue.scenarios import load_scenario
from planner.catalogue.toml import toml_value
from planner.core.fleet.engine import Engine
from planner.core.fleet.operating import ImbalanceAt
from planner.core.fleet.prefill import input_tokens_per_s_per_node
from planner.settings.bands import Metric
from planner.settings.fleet import EngineSettings


@dataclass(frozen=True, kw_only=True)
class EngineStudy:
    """An engine's settings, the GPUs of its units, its workload and its latency target.

    notes: what the reader should know of the workload.
    """

    settings: EngineSettings
    prefill_gpus: int
    decode_gpus: int
    workload: Workload
    target_ms: float
    notes: tuple[str, ...] = ()

    @property
    def prefill(self) -> Engine:
        return prefill_engine(self.settings, self.prefill_gpus)

    def decode(self, gpus: int | None = None) -> tuple[Engine, ImbalanceAt]:
        """The decode engine on a number of GPUs, and how far out of balance its ranks are."""
        return balanced_engine(self.settings, decode_engine(self.settings, self.decode_gpus if gpus is None else gpus))

    def prefill_rates(self) -> tuple[float, float]:
        """Missed and all input tokens/s of a prefill node."""
        missed = missed_rate(self.settings, self.prefill, self.workload.missed_context_tokens)
        return missed, float(input_tokens_per_s_per_node(missed, self.workload.hit_ratio))

    def decode_band(self) -> TimeBand:
        """The band of a time per output token of the decode unit."""
        engine = self.decode()[0]
        return time_band(engine, "tpot", own_measurements(self.settings, engine, self.decode_gpus))

    def prefill_band(self, metric: Metric) -> TimeBand:
        """The band of a time of the prefill unit."""
        return time_band(self.prefill, metric, own_measurements(self.settings, self.prefill, self.prefill_gpus))

    def _carried_over(self) -> tuple[str, ...]:
        """What of the decode engine differs from what its calibration was measured on."""
        if self.settings.calibration is None:
            return ()
        apart = carried_over(self.settings, self.decode()[0], self.decode_gpus)
        return (f"calibration: carried over to {', '.join(apart)}",) if apart else ()

    def head(self) -> EngineHead:
        """The part that all documents on the engine have in common."""
        node = hardware(self.settings.hardware)
        return EngineHead(
            notes=(*self.notes, *notes(self.settings), *self._carried_over()),
            node=node.name,
            model=model(self.settings.model).name,
            engine=engine_profile(self.settings.name).title,
            weights=self.settings.weights,
            kv=self.settings.kv,
            tensor_parallel=self.settings.tensor_parallel,
            target_tpot_ms=self.target_ms,
            usd_per_gpu_hour=node.usd_per_gpu_hour,
        )


def engine_settings(overrides: Sequence[str]) -> EngineSettings:
    """The default scenario's engine with "field=value" overridden. Raises ScenarioError."""
    return load_scenario(None, [f"fleet.engine.{item}" for item in overrides]).scenario.fleet.engine


def make_study(
    node: str,
    model_name: str,
    overrides: Sequence[str],
    *,
    workload: Workload | None = None,
    kv_tokens: float | None = None,
    hit_ratio: float | None = None,
    target_ms: float | None = None,
    decode_gpus: int | None = None,
) -> EngineStudy:
    """A study of catalogue names, with the default scenario's engine, workload and target unless given.

    overrides: "field=value" of fleet.engine. Raises UsageError, ScenarioError.
    """
    base = load_scenario().scenario
    usual = usual_settings(base.fleet.engine, model_name, node)
    fields = {name: getattr(usual, name) for name in usual.model_fields_set}
    sets = [f"{name}={toml_value(value)}" for name, value in fields.items() if value is not None]
    settings = engine_settings([*sets, *overrides])
    load = workload or Workload.named(DEFAULT_SCENARIO)
    load = replace(
        load,
        kv_tokens=load.kv_tokens if kv_tokens is None else kv_tokens,
        hit_ratio=load.hit_ratio if hit_ratio is None else hit_ratio,
    )
    told = decode_gpus is not None or any(item.partition("=")[0].strip() in SPREADING for item in overrides)
    spread = usual_spread(settings) if told else fitting_spread(settings, load.kv_tokens)
    settings = spread.settings
    published = () if workload is not None else _published_load(base.fleet.engine, settings, kv_tokens, hit_ratio, load)
    return EngineStudy(
        settings=settings,
        prefill_gpus=spread.prefill_gpus,
        decode_gpus=spread.decode_gpus if decode_gpus is None else decode_gpus,
        workload=load,
        target_ms=base.slo.tpot_ms if target_ms is None else target_ms,
        notes=published if spread.note is None else (*published, spread.note),
    )


def _published_load(
    published: EngineSettings,
    settings: EngineSettings,
    kv_tokens: float | None,
    hit_ratio: float | None,
    load: Workload,
) -> tuple[str, ...]:
    """What of a workload is that of the published day, where another model or kind of node is studied."""
    if (model(settings.model).name, hardware(settings.hardware).name) == (
        model(published.model).name,
        hardware(published.hardware).name,
    ):
        return ()
    parts = [f"requests of {load.input_tokens:,.0f} tokens in and {load.output_tokens:,.0f} out"]
    if kv_tokens is None:
        parts.append(f"{load.kv_tokens:,.0f} tokens of KV")
    if hit_ratio is None:
        parts.append(f"{load.hit_ratio:.2%} of input found in a cache")
    return (
        f"workload: {', '.join(parts)}, as on DeepSeek's published day; give --trace NAME for your own, or --kv-tokens "
        "and --hit",
    )
