"""What a process does before planners are forked from it; each would take a planner a part of its time.

It imports every module of the package and has the kernels that draw a trace compiled.
DuckDB, polars and what draws charts are left alone: their threads do not survive a fork.
"""

import importlib
import pkgutil

import planner
from planner.catalogue.scenarios import load_scenario
from planner.trace.synthetic.cells import lay_cells
from planner.trace.synthetic.draw import draw
from planner.trace.synthetic.profile import load_profile

for module in pkgutil.walk_packages(planner.__path__, "planner."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)

_settings = load_scenario(None, ["trace.scale=0.0001"]).scenario.trace
_profile = load_profile(_settings.profile)
for _ in draw(_profile.settings.population, lay_cells(_profile, _settings), 0):
    pass
