"""A server that speaks OpenRouter's chat completions, for development and tests."""

from openrouter_emulator.behaviours import Assignment, Behaviour, HttpError, Match, StreamError
from openrouter_emulator.server import RunningEmulator, running_emulator
from openrouter_emulator.settings import Settings

__all__ = [
    "Assignment",
    "Behaviour",
    "HttpError",
    "Match",
    "RunningEmulator",
    "Settings",
    "StreamError",
    "running_emulator",
]
