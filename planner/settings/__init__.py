"""Scenarios: frozen settings models, TOML, the catalogue."""
