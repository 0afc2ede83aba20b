"""The command `planstream`."""

from planstream_client.command.main import main

__all__ = ["main"]
