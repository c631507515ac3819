"""Nights whose capacities are modelled: their plans have bands, and everything else is as in any night."""

import csv
from datetime import timedelta
from pathlib import Path

from planner.nightly.outputs import report_folder
from planner.runs.read import read_run
from planner.store import Store, published_path
from tests.helpers.nights import FIRST, Service, night, write_jobs

MODELLED = (
    "fleet.capacity=modelled",
    "fleet.engine.name=vllm",
    "fleet.engine.model=llama-3.1-8b",
    "fleet.engine.hardware=L4",
    "fleet.engine.weights=fp8",
    "fleet.engine.tensor_parallel=1",
    "fleet.engine.redundant_experts=0",
    "slo.tpot_ms=60",
)
"""The small fleet with a model that one GPU serves, on nodes of eight."""


def test_a_night_on_modelled_capacity_stores_and_shows_bands(tmp_path: Path, real_outputs: None) -> None:
    _write_log(tmp_path)
    jobs = write_jobs(tmp_path)
    small = jobs.read_text().replace("fleet.gpus_per_node=1", "fleet.gpus_per_node=8")
    jobs.write_text(small.replace("set = [", f"set = [{', '.join(map(repr, MODELLED))}, "))
    service = Service(tmp_path, jobs)
    assert service.run(night(FIRST)) == 0, service.events[-1]["message"]
    (row,) = service.rows("job_runs")
    bands = {band["figure"]: band for band in service.rows("run_bands", run_id=row["run_id"])}
    need = bands["need_nodes"]
    assert need["low"] <= need["value"] < need["high"]
    with Store(published_path(service.store.path)).read() as session:
        run = read_run(session, row["run_id"])
    assert {band.figure: vars(band) for band in run.bands} == bands
    assert bands["cost_usd"]["value"] == run.summary.cost_usd
    page = (report_folder(service.jobs.out, service.jobs.file.job[0], FIRST) / "index.html").read_text()
    words = f"Needs {need['value']:,.0f} nodes ({need['low']:,.0f} to {need['high']:,.0f}) at peak"
    assert words in page
    assert "90 % bands in parentheses, estimated" in page
    # the index lists the figures of plans, one each
    index = (Path(service.jobs.out) / "index.html").read_text()
    assert f'<td class="n">{run.summary.peak_nodes}</td>' in index
    assert "90 % band" not in index


def _write_log(folder: Path) -> None:
    """A day with a request of 1,000 tokens in and 2,000 out every second."""
    (folder / "logs").mkdir()
    start = night(FIRST).replace(hour=23, minute=0) - timedelta(days=2)
    with (folder / "logs" / f"{FIRST - timedelta(days=1)}.csv").open("w") as file:
        rows = csv.writer(file)
        rows.writerow(["arrival", "input_tokens", "output_tokens"])
        rows.writerows([(start + timedelta(seconds=s)).isoformat(), 1000, 2000] for s in range(86_400))
