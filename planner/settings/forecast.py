"""The settings of forecasts."""

from typing import Annotated, Literal

from pydantic import Field

from planner.settings.closed import Closed


class ForecastSettings(Closed):
    """How demand is forecast from the intervals before."""

    method: Literal["seasonal-naive", "day-of-week", "holt-winters", "statsforecast-mstl"]
    """Forecaster; statsforecast-mstl needs the extra `forecast`."""
    season: Literal["day", "week"]
    """What repeats: a day or a week; day-of-week knows both."""
    horizon_s: Annotated[int, Field(ge=60, le=1_209_600)]
    """Seconds that forecasts look ahead, 60 to 1,209,600 (two weeks); rounded up to whole intervals."""
