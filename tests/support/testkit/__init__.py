"""What end-to-end tests share: a user with an HTTP client, and a viewer that checks the stream protocol as it reads."""

from testkit.stacks import OpenStack
from testkit.user import User, written
from testkit.viewer import ProtocolError, Received, Viewer

__all__ = ["OpenStack", "ProtocolError", "Received", "User", "Viewer", "written"]
