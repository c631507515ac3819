"""The options of `planner scenario init` for a fleet of one's own."""

FLEET = {
    "--model": "llama-3.1-70b",
    "--node": "h100",
    "--nodes": "28",
    "--timezone": "Asia/Singapore",
    "--gpu-usd-per-hour": "2.10",
    "--usd-per-million": "0.40,0.10,1.60",
}


def options(**changed: str | None) -> list[str]:
    """The options of a fleet, some of them changed, or left out with None."""
    fleet = {**FLEET, **{f"--{name.replace('_', '-')}": value for name, value in changed.items()}}
    return [word for name, value in fleet.items() if value is not None for word in (name, value)]
