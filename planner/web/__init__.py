"""The page of `planner serve`: questions answered while a slider moves.

state, controls  what an address says: a scenario, and settings of a plan A and of a plan B beside it
workbench        in a worker process: inputs prepared once, plans in memory, nothing stored
workers, jobs    processes: warm ones that answer, one each for what takes long
panes            what is shown below the answer, a module each
app, security    the server: addresses, templates, and who may ask
"""
