"""Traces: load profiles, synthesis, readers of logs, prefix caches, the catalogue of what is stored."""
