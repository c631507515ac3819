"""Studies: what a node, a unit and a fleet can do, from the catalogue, the model, stored traces and files."""
