"""The published day as findings need it: load and nodes by the hour, tokens per request, node-hours."""

from dataclasses import dataclass
from functools import cached_property
from math import exp, log
from statistics import NormalDist

import numpy as np

from planner.capacity.engines import Workload
from planner.errors import UsageError
from planner.settings.profile import Lognormal, Population, Published
from planner.trace.synthetic.profile import Profile, load_profile
from planner.units import S_PER_DAY, S_PER_HOUR, Floats

HOURS = S_PER_DAY // S_PER_HOUR


@dataclass(frozen=True)
class Day:
    """A profile with a published outcome."""

    profile: Profile
    published: Published

    @property
    def hourly_load(self) -> Floats:
        """Load of every hour, what it earns at the list price; (24,)."""
        return self.profile.hourly_load

    @cached_property
    def nodes(self) -> Floats:
        """Serving nodes of every published interval, in order of time."""
        timeline = self.profile.published_nodes()
        return np.array([timeline[start] for start in sorted(timeline)], np.float64)

    @property
    def hourly_nodes(self) -> Floats:
        """Mean serving nodes of every hour; (24,)."""
        means: Floats = self.nodes.reshape(HOURS, -1).mean(axis=1)
        return means

    @property
    def node_hours(self) -> float:
        """Node-hours that inference held."""
        return float(self.hourly_nodes.sum())

    @property
    def free_node_hours(self) -> float:
        """Node-hours of the fleet that inference did not hold."""
        return self.published.peak_nodes * HOURS - self.node_hours

    @property
    def started_nodes(self) -> float:
        """Nodes that joined inference during the day."""
        return float(np.diff(self.nodes).clip(min=0).sum())

    @property
    def requests_per_s(self) -> float:
        """Mean requests per second."""
        return self.profile.settings.totals.requests / S_PER_DAY

    @property
    def peak_ratio(self) -> float:
        """Busiest cell of the smoothed load over the mean."""
        share = self.profile.cell_share
        return float(share.max() * len(share))

    @property
    def prefill_nodes(self) -> float:
        """Mean prefill nodes: the input over the published rate of a node."""
        return self.published.input_tokens / S_PER_DAY / self.published.input_tokens_per_s_per_prefill_node

    @cached_property
    def workload(self) -> Workload:
        """Tokens per request, cache hits and contexts, from totals, published KV length and population."""
        totals = self.profile.settings.totals
        return Workload(
            kv_tokens=self.published.kv_tokens_per_output_token,
            hit_ratio=totals.cached_input_tokens / totals.input_tokens,
            missed_context_tokens=missed_context(self.profile.settings.population),
            input_tokens=totals.input_tokens / totals.requests,
            output_tokens=totals.output_tokens / totals.requests,
        )

    @property
    def missed_tokens(self) -> float:
        """Input tokens of a mean request that are not found in the cache."""
        return self.workload.input_tokens * (1 - self.workload.hit_ratio)

    def nodes_at_peak(self, prefill_rate: float, decode_rate: float) -> float:
        """Nodes of both roles that the busiest cell needs. Rates: tokens/s per node."""
        totals = self.profile.settings.totals
        mean = totals.input_tokens / prefill_rate + totals.output_tokens / decode_rate
        return mean * self.peak_ratio / S_PER_DAY

    def share_of_prompts_up_to(self, tokens: float) -> float:
        """Share of requests whose input is at most that long."""
        law = self.profile.settings.population.input
        return NormalDist(law.mu, law.sigma).cdf(log(tokens))


def published_day(name: str) -> Day:
    """The day of a profile. Raises UsageError if none was published."""
    profile = load_profile(name)
    published = profile.settings.published
    if published is None:
        raise UsageError(f'profile "{profile.name}" has no published figures; use one with a [published] table')
    return Day(profile, published)


def missed_context(population: Population) -> float:
    """Mean attention context of missed tokens of a population, tokens.

    With input I and cached share X, m = I(1 - X) and h = IX: sum(m(h + m/2)) / sum(m) = E[I^2](1 - E[X^2]) /
    (2 E[I](1 - E[X])). That hits are whole blocks changes it by some parts in a thousand.
    """
    share = population.cached_share
    both = share.alpha + share.beta
    mean = population.follow_up_share * share.alpha / both
    square = mean * (share.alpha + 1) / (both + 1)
    return _moment(population.input, 2) * (1 - square) / (2 * _moment(population.input, 1) * (1 - mean))


def _moment(law: Lognormal, power: int) -> float:
    """Mean of a power of a lognormal length cut at its largest."""
    cut = (log(law.max) - law.mu) / law.sigma
    below = exp(power * law.mu + (power * law.sigma) ** 2 / 2) * NormalDist().cdf(cut - power * law.sigma)
    return below + float(law.max) ** power * (1 - NormalDist().cdf(cut))
