"""Who is calling, and whether they may: one door for every route that has a user."""

from stream_gateway.auth.dev import DevAuthenticator
from stream_gateway.auth.door import FrontDoor
from stream_gateway.auth.identity import Authenticator, Identity
from stream_gateway.auth.tokens import LEEWAY_SECONDS, JwtAuthenticator

__all__ = ["LEEWAY_SECONDS", "Authenticator", "DevAuthenticator", "FrontDoor", "Identity", "JwtAuthenticator"]
