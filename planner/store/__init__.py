"""The DuckDB file. The only package that imports duckdb.

One process may write, or many may read; none holds the file while computing. So every use opens the file,
does its reading or its one transaction, and closes it again, waiting while another process has it.
"""

from planner.store.database import Session, Store, default_path
from planner.store.memory import memory_session, undone
from planner.store.published import publish, published_path, readable
from planner.store.queries import NamedQuery, named_queries, named_query

__all__ = [
    "NamedQuery",
    "Session",
    "Store",
    "default_path",
    "memory_session",
    "named_queries",
    "named_query",
    "publish",
    "published_path",
    "readable",
    "undone",
]
