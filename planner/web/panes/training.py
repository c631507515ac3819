"""What training gets: the windows in which nodes are lent, and the jobs that the scenario names."""

from dataclasses import dataclass

from planner.documents import Document, Time
from planner.report.charts import node_chart
from planner.report.job_charts import job_charts, job_table
from planner.report.week_charts import is_long
