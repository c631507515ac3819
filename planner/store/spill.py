"""Where a DuckDB instance puts what does not fit into memory: a folder of its own beside the store.

DuckDB names the files there by numbers, so that two processes that shared a folder would overwrite each other's.
"""

from contextlib import ExitStack
from pathlib import Path

from planner.drafts import draft_folder


class Spill:
    """A folder beside a store, removed when it is closed, or by the next command if the process is killed."""

    def __init__(self, store: Path) -> None:
        """Make the folder. Where that cannot be, reading goes on, and only what has to be spilled fails."""
        self._stack = ExitStack()
        try:
            self.path = self._stack.enter_context(draft_folder(store))
        except OSError:
            self.path = store.with_name(f"{store.name}.tmp")

    @property
    def is_used(self) -> bool:
        """Whether something was spilled: DuckDB keeps to such a folder as long as the instance lives."""
        return self.path.is_dir() and any(self.path.iterdir())

    def close(self) -> None:
        """Remove the folder with all that is in it."""
        self._stack.close()
