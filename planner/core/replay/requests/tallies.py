"""What a replay leaves of its requests: of their prompts, and of their streams. Pure.

Units of two roles have a stage each for both; units that do both have one that leaves both.
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from planner.core.replay.requests.kernels.layout import Records
from planner.units import Floats


class StageFigures(Protocol):
    """What both have in common: see the attributes of `planner.core.replay.requests.stages`."""

    @property
    def units(self) -> Records: ...

    @property
    def drain_us(self) -> Floats: ...

    @property
    def minutes(self) -> Records: ...

    @property
    def queue_us(self) -> Floats: ...

    @property
    def hours(self) -> Records: ...

    @property
    def samples(self) -> Records: ...

    @property
    def kept(self) -> Records: ...

    @property
    def in_system(self) -> Records: ...

    @property
    def in_flight(self) -> int: ...


class PromptFigures(StageFigures, Protocol):
    """Of prompts until their first token."""

    @property
    def ttft(self) -> NDArray[np.int32]: ...


class StreamFigures(StageFigures, Protocol):
    """Of streams from their first token on."""

    @property
    def histograms(self) -> NDArray[np.int32]: ...

    @property
    def moved(self) -> int: ...
