"""What one running emulator holds."""

from dataclasses import dataclass, field

from openrouter_emulator.ledger import Ledger
from openrouter_emulator.rulebook import RuleBook
from openrouter_emulator.settings import Settings


@dataclass(frozen=True, slots=True)
class EmulatorState:
    """Settings, books and rules; shared by the API and the control API."""

    settings: Settings = field(default_factory=Settings)
    ledger: Ledger = field(default_factory=Ledger)
    rules: RuleBook = field(default_factory=RuleBook)
