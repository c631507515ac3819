"""The fleet: deployment units and their capacity. Pure."""
