"""Schedules and costs in the formats of what runs and bills the cluster. Pure: plans in, text out."""
