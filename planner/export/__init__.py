"""Schedules and costs in the formats of cluster schedulers, autoscalers and billing. Pure: plans in, text out."""
