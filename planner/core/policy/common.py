"""What several policies share: the floor, when a demand source is known, windows of the day. Pure."""

from datetime import timedelta

from planner.core.fleet.deployment import Deployment
from planner.core.policy.base import Tick
from planner.settings.closed import DayWindow
from planner.settings.policy import PolicySettings
from planner.units import counted


def floor_of(settings: PolicySettings, deployment: Deployment) -> tuple[int, tuple[str, ...]]:
    """The floor as scaling steps above the base, and a note where it is not the nodes that were asked for."""
    floor_step = deployment.step_of_nodes(settings.floor_nodes)
    floor = deployment.nodes(deployment.bundle.floor(settings.floor_nodes))
    if settings.floor_nodes in (0, floor):
        return floor_step, ()
    turned = "rounded up" if floor > settings.floor_nodes else "cut"
    note = (
        f"floor of {counted(settings.floor_nodes, 'node')} {turned} to {floor}: the base units plus whole scaling steps"
    )
    return floor_step, (note,)


def known_early(settings: PolicySettings) -> bool:
    """Whether the demand source knows an interval well before it begins; forecasts are made an interval before."""
    return settings.demand_source in ("trace", "profile", "forecast")


def touches(window: DayWindow, tick: Tick) -> bool:
    """Whether any minute of the interval is in a daily window."""
    minutes = range(tick.interval_s // 60)
    return any(window.holds((tick.start + timedelta(minutes=minute)).time()) for minute in minutes)
