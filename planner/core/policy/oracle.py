"""oracle: the fewest units that carry a whole known demand, for comparison only. Pure.

Every policy's targets are replayed with start-up and drain, so the fewest units are not those of each interval alone:
a unit that joins at a boundary serves the rest of the interval only, one that leaves drains before it. A unit that is
kept may be cheaper than one that starts again. Role by role a dynamic program over intervals weighs this exactly.
Where units keep their weights when they leave, those start warm that demand has needed before, whatever schedule it is;
of units beyond these it is not known, and they are taken to start cold.
Units that share nodes are counted in whole nodes, as a node that is held is paid whole; why no schedule of single units
holds fewer nodes is said in `planner.core.optimum.program`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from planner.core.fleet.deployment import Deployment
from planner.core.fleet.units import AGGREGATED, Units
from planner.core.policy.base import Seen, Sight, Tick
from planner.settings.fleet import FleetSettings, UnitSettings
from planner.settings.policy import PolicySettings
from planner.units import Bools, Floats, Ints


@dataclass(frozen=True)
class KnownDemand:
    """A whole demand, and how long its intervals are."""

    demand: Sequence[Seen]
    interval_s: int


@dataclass(frozen=True, kw_only=True)
class Oracle:
    """Follows targets that were computed from the whole demand."""

    targets: tuple[Units, ...]
    ahead: bool
    notes: tuple[str, ...]
    name: str = "oracle"
    sight: Sight = Sight.TRACE
    lead_s: int = 0

    @classmethod
    def of(cls, settings: PolicySettings, deployment: Deployment, known: KnownDemand) -> "Oracle":
        """The fewest node-seconds of inference that carry the demand, with draining before boundaries or after them.

        What the fleet cannot carry is left out. Where both roles together want more nodes than there are, each gets
        its units of the full fleet at most.
        """
        fewest = "units" if deployment.aggregated else "units of each role"
        fewest = "nodes" if deployment.units_per_node > 1 else fewest
        notes = (
            "oracle, for comparison only: it sees the trace's whole demand, whatever the demand source, and uses the "
            f"fewest {fewest} that carry it, not only whole scaling steps",
        )
        floor = deployment.floor(settings.floor_nodes)
        find = _best_of_both if deployment.aggregated else _best
        (ahead_cost, ahead_targets), (late_cost, late_targets) = (
            find(deployment, known, floor, ahead) for ahead in (True, False)
        )
        ahead = ahead_cost <= late_cost
        return cls(targets=ahead_targets if ahead else late_targets, ahead=ahead, notes=notes)

    def decide(self, tick: Tick) -> Units:
        return self.targets[len(tick.past)]


@dataclass(frozen=True)
class Start:
    """What starting costs one unit, in seconds: of service in the interval after it begins to serve, of occupancy in
    whole intervals before."""

    loss_s: int
    cost_s: int

    @classmethod
    def of(cls, interval_s: int, start_up_s: int) -> "Start":
        starting, loss_s = divmod(start_up_s, interval_s)
        return cls(loss_s, starting * interval_s)


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What joining and leaving cost one unit, in seconds: starts from cold and to weights that were kept; of service in
    the interval before it leaves, of occupancy after. warm: as cold where units keep nothing."""

    interval_s: int
    cold: Start
    warm: Start
    leave_loss_s: int
    leave_cost_s: int

    @classmethod
    def of(cls, fleet: FleetSettings, interval_s: int, *, ahead: bool, keeping: bool) -> "Turn":
        """Whole intervals of starting and draining are occupancy without service; the rest shortens service.

        keeping: whether units may be counted on to keep their weights, where they do.
        """
        drain_s = fleet.drain_deadline_s
        # a unit that still drains cannot be called back
        back = keeping and (ahead or drain_s <= interval_s)
        draining, leave_loss_s = divmod(drain_s, interval_s)
        return cls(
            interval_s=interval_s,
            cold=Start.of(interval_s, fleet.start_up_s),
            warm=Start.of(interval_s, fleet.warm_start_up_s if back else fleet.start_up_s),
            leave_loss_s=leave_loss_s if ahead else 0,
            leave_cost_s=draining * interval_s if ahead else drain_s,
        )

    @property
    def shared_s(self) -> int:
        """Loss counted twice where units join and leave in one interval that is shorter than both losses."""
        return max(0, min(self.cold.loss_s, self.warm.loss_s) + self.leave_loss_s - self.interval_s)

    @property
    def join_loss_s(self) -> int:
        """The most that joining takes of service."""
        return max(self.cold.loss_s, self.warm.loss_s)

    @property
    def reach(self) -> int:
        """Intervals beyond which it is never better to keep a unit than to start one again."""
        return 2 + -(-(max(self.cold.cost_s, self.warm.cost_s) + self.leave_cost_s) // self.interval_s)

    def joining(self, before: Ints, joined: Ints, kept: int) -> tuple[Ints, Ints]:
        """Service and occupancy that units take which join others. kept: units of which those that join are warm."""
        warm = np.minimum(joined, np.maximum(kept - before, 0))
        cold = joined - warm
        return (
            self.cold.loss_s * cold + self.warm.loss_s * warm,
            self.cold.cost_s * cold + self.warm.cost_s * warm,
        )


def kept_units(needed_s: Ints, turn: Turn, floor: int, most: int) -> Ints:
    """How many units have surely served before every interval, so that those of them that join it start warm."""
    least, high = _range_of(needed_s, turn, floor, most)
    kept: Ints = np.maximum.accumulate(np.concatenate([[0], least]))[:-1]
    lead = turn.cold.cost_s // turn.interval_s
    if lead:
        # units that join whole intervals ahead to start cold are those that are called back, if any are asleep
        beyond = np.lib.stride_tricks.sliding_window_view(np.pad(high > kept, (0, lead)), lead + 1).any(axis=1)
        kept[beyond] = 0
    return kept


def fewest_units(needed_s: Ints, turn: Turn, floor: int, most: int) -> tuple[Ints, float]:
    """Units that serve in every interval, (n,), and their unit-seconds with those of starting and draining.

    needed_s: unit-seconds of service per interval, at most `most` units' worth. Units of the first interval serve from
    its beginning; those of the last never leave.
    """
    kept = kept_units(needed_s, turn, floor, most)
    least, high = _range_of(needed_s, turn, floor, most)
    count, interval_s = len(needed_s), turn.interval_s
    levels = [np.arange(low, top + 1) for low, top in zip(least, high, strict=True)]
    # values[i][p, c]: least cost of interval i and later, with p units before it and c in it
    after = np.zeros((len(levels[-1]), 1))
    after_levels = levels[-1][:1] * 0
    values: list[Floats] = []
    for index in range(count - 1, -1, -1):
        units = levels[index]
        before = levels[index - 1] if index else units
        joined, left = (np.maximum(sign * (units[None, :] - before[:, None]), 0) for sign in (1, -1))
        if index == 0:
            joined, left = np.zeros_like(joined), np.zeros_like(left)
        loss_s, cost_s = turn.joining(before[:, None], joined, kept[index])
        own = interval_s * units + cost_s + turn.leave_cost_s * left
        room_s = units * interval_s - loss_s - needed_s[index]
        fewest_next = units - _most_leaving(room_s, joined, turn) if index < count - 1 else np.zeros_like(room_s)
        place = np.searchsorted(after_levels, fewest_next)
        suffix = np.minimum.accumulate(after[:, ::-1], axis=1)[:, ::-1]
        suffix = np.concatenate([suffix, np.full((len(suffix), 1), np.inf)], axis=1)
        later = suffix[np.arange(len(units))[None, :], place]
        after = np.where(room_s >= 0, own + later, np.inf)
        after_levels = units
        values.append(after)
    values.reverse()
    return _follow(values, levels, needed_s, turn, kept)


def _follow(values: list[Floats], levels: list[Ints], needed_s: Ints, turn: Turn, kept: Ints) -> tuple[Ints, float]:
    """The units along the cheapest way."""
    first = int(np.argmin(np.diagonal(values[0])))
    chosen = [int(levels[0][first])]
    joined, place = 0, first
    for index in range(1, len(levels)):
        units = chosen[-1]
        loss_s, _ = turn.joining(np.array(units - joined), np.array(joined), kept[index - 1])
        room_s = np.array(units * turn.interval_s - loss_s - needed_s[index - 1])
        fewest = units - int(_most_leaving(room_s, np.array(joined), turn))
        allowed = np.where(levels[index] >= fewest, values[index][place], np.inf)
        place = int(np.argmin(allowed))
        chosen.append(int(levels[index][place]))
        joined = max(0, chosen[-1] - units)
    return np.array(chosen, np.int64), float(values[0][first, first])


def _most_leaving(room_s: Ints, joined: Ints, turn: Turn) -> Ints:
    """Units that may leave after an interval with so much service to spare; the newest leave first."""
    if turn.leave_loss_s == 0:
        return np.full_like(room_s, np.iinfo(np.int32).max)
    shared_s = turn.shared_s
    own: Ints = room_s // (turn.leave_loss_s - shared_s)
    if shared_s == 0:
        return own
    return np.where(own < joined, own, np.maximum(joined, (room_s + shared_s * joined) // turn.leave_loss_s))


def _range_of(needed_s: Ints, turn: Turn, floor: int, most: int) -> tuple[Ints, Ints]:
    """The fewest and most units that are worth considering in every interval."""
    interval_s = turn.interval_s
    least = np.maximum(-(-needed_s // interval_s), floor)
    if turn.join_loss_s + turn.leave_loss_s >= interval_s:
        # a unit that joins and leaves in one interval serves nothing, so none loses more than the longer loss
        serving_s = interval_s - max(turn.join_loss_s, turn.leave_loss_s)
    else:
        serving_s = interval_s - turn.join_loss_s - turn.leave_loss_s
    enough = np.minimum(np.maximum(-(-needed_s // serving_s), floor), most)
    padded = np.pad(enough, turn.reach, mode="edge")
    return least, np.lib.stride_tricks.sliding_window_view(padded, 2 * turn.reach + 1).max(axis=1)


def _needed_s(tokens: Floats, role: UnitSettings, interval_s: int, most: int) -> Ints:
    """Whole unit-seconds that carry tokens as a replay counts them; at most what the most units have."""
    per_node = role.node_tokens_per_s

    def carried(seconds: Ints) -> Floats:
        whole: Floats = np.floor(seconds * role.nodes * per_node)
        return whole

    needed = np.ceil(tokens / (per_node * role.nodes)).astype(np.int64)
    needed = np.where((needed > 0) & (carried(needed - 1) >= tokens), needed - 1, needed)
    needed = np.where(carried(needed) < tokens, needed + 1, needed)
    return np.minimum(needed, most * interval_s)


def _best(deployment: Deployment, known: KnownDemand, floor: Units, ahead: bool) -> tuple[float, tuple[Units, ...]]:
    """Node-seconds and targets for one way of draining; infinite where draining units would take others' nodes."""
    fleet = deployment.settings
    if not known.demand:
        return 0.0, ()
    cost, targets = _best_by_role(deployment, known, floor, ahead, keeping=True)
    held = max(each.prefill for each in targets), max(each.decode for each in targets)
    if fleet.keeps == "resident" and deployment.nodes(Units(*held)) > fleet.nodes:
        # one role's weights may have to give way to the other, so none can be counted on
        return _best_by_role(deployment, known, floor, ahead, keeping=False)
    return cost, targets


def _best_by_role(
    deployment: Deployment, known: KnownDemand, floor: Units, ahead: bool, *, keeping: bool
) -> tuple[float, tuple[Units, ...]]:
    """The same, with what units keep or without."""
    fleet, full = deployment.settings, deployment.full
    turn = Turn.of(fleet, known.interval_s, ahead=ahead, keeping=keeping)
    tokens = np.array([(seen.input_tokens, seen.output_tokens) for seen in known.demand])
    rooms = (
        (fleet.nodes - floor.decode * fleet.decode.nodes) // fleet.prefill.nodes,
        (fleet.nodes - floor.prefill * fleet.prefill.nodes) // fleet.decode.nodes,
    )
    carrying = [
        _needed_s(tokens[:, place], role, known.interval_s, most) / known.interval_s * role.nodes
        for place, (role, most) in enumerate(zip((fleet.prefill, fleet.decode), rooms, strict=True))
    ]
    too_much = bool((carrying[0] + carrying[1] > fleet.nodes).any())
    for most in ((full.prefill, full.decode),) if too_much else (rooms, (full.prefill, full.decode)):
        cost, held = 0.0, []
        leaving = np.zeros(len(known.demand), np.int64)
        for place, (role, least) in enumerate(((fleet.prefill, floor.prefill), (fleet.decode, floor.decode))):
            needed_s = _needed_s(tokens[:, place], role, known.interval_s, most[place])
            serving, seconds = fewest_units(needed_s, turn, least, most[place])
            kept = kept_units(needed_s, turn, least, most[place])
            occupied = _occupied(serving, turn, kept, ahead=ahead)
            held.append(occupied)
            cost += seconds * role.nodes
            leaving += _draining(occupied, turn, ahead=ahead) * role.nodes
        nodes = held[0] * fleet.prefill.nodes + held[1] * fleet.decode.nodes
        if (nodes + leaving <= fleet.nodes).all():
            return cost, tuple(Units(int(p), int(d)) for p, d in zip(*held, strict=True))
    return np.inf, tuple(Units(int(p), int(d)) for p, d in zip(*held, strict=True))


def _best_of_both(
    deployment: Deployment, known: KnownDemand, floor: Units, ahead: bool
) -> tuple[float, tuple[Units, ...]]:
    """The same for units that do both, by the nodes that they share."""
    fleet, units, unit_nodes = deployment.settings, deployment.units_per_node, deployment.unit_nodes(AGGREGATED)
    if not known.demand:
        return 0.0, ()
    turn = Turn.of(fleet, known.interval_s, ahead=ahead, keeping=True)
    inputs, outputs = np.array([(seen.input_tokens, seen.output_tokens) for seen in known.demand]).T
    most, least = deployment.most // units, -(-floor.aggregated // units)
    needed_s = _needed_of_both_s(deployment, inputs, outputs, most * known.interval_s)
    serving, seconds = fewest_units(needed_s, turn, least, most)
    occupied = _occupied(serving, turn, kept_units(needed_s, turn, least, most), ahead=ahead)
    fits = (occupied + _draining(occupied, turn, ahead=ahead) <= most).all()
    return seconds * unit_nodes if fits else np.inf, tuple(Units(aggregated=int(held) * units) for held in occupied)


def _needed_of_both_s(deployment: Deployment, inputs: Floats, outputs: Floats, most_s: int) -> Ints:
    """Whole seconds in which the units that share their nodes carry tokens as a replay counts them; at most so many."""
    each = deployment.units_needed(inputs, outputs, 1.0)

    def carries(seconds: Ints) -> Bools:
        share = np.divide(seconds * deployment.units_per_node, each, out=np.ones_like(each), where=each > 0)
        enough: Bools = (np.floor(share * inputs) >= inputs) & (np.floor(share * outputs) >= outputs)
        return enough

    needed: Ints = np.ceil(each / deployment.units_per_node).astype(np.int64)
    needed -= (needed > 0) & carries(needed - 1)
    return np.minimum(needed + ~carries(needed), most_s)


def _occupied(serving: Ints, turn: Turn, kept: Ints, *, ahead: bool) -> Ints:
    """Targets: units that serve, those that start for whole intervals before, and those that drain for whole ones.

    kept: as of `kept_units`.
    """
    occupied = serving.copy()
    change = np.diff(serving, prepend=serving[0])
    draining = turn.leave_cost_s // turn.interval_s if ahead else 0
    for place in np.flatnonzero(change):
        if change[place] > 0:
            warm = min(change[place], max(kept[place] - serving[place - 1], 0))
            for units, start in ((warm, turn.warm), (change[place] - warm, turn.cold)):
                occupied[max(0, place - start.cost_s // turn.interval_s) : place] += units
        else:
            occupied[place : place + draining] -= change[place]
    return occupied


def _draining(occupied: Ints, turn: Turn, *, ahead: bool) -> Ints:
    """Units that still drain in intervals after they left the target."""
    gone = np.zeros_like(occupied)
    if not ahead:
        change = np.diff(occupied, prepend=occupied[0])
        for place in np.flatnonzero(change < 0):
            gone[place : place - (-turn.leave_cost_s // turn.interval_s)] -= change[place]
    return gone
