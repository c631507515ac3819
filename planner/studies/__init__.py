"""What a node, a unit and a fleet can do: studies that put the catalogue, the model and files together."""
