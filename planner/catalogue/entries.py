"""The names of the catalogue, as a document."""

from dataclasses import dataclass

from planner.documents import Document


@dataclass(frozen=True, kw_only=True)
class CatalogueEntry(Document):
    """A built-in name that options and settings take."""

    folder: str
    """What it is: models, hardware, prices and so on."""
    name: str
    description: str
    """One line on it; empty where its file has none."""
