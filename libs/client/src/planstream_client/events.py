"""What a stream says, as the programs that use it see it."""

from dataclasses import dataclass
from typing import Any, Literal

Name = Literal["connected", "snapshot", "progress", "complete", "cancelled", "error"]
TERMINAL = frozenset({"complete", "cancelled", "error"})
KNOWN = frozenset({"connected", "snapshot", "progress", *TERMINAL})


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a plan. `id` resumes after it; `connected` has none. `data` is as docs/protocol.md has it."""

    name: Name
    id: str | None
    data: dict[str, Any]

    @property
    def terminal(self) -> bool:
        """Whether nothing follows."""
        return self.name in TERMINAL
