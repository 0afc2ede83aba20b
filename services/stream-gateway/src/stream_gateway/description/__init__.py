"""The public API described: `/openapi.json`, built from the wire contracts, and `/docs`, which shows it."""

from stream_gateway.description.openapi import openapi
from stream_gateway.description.routes import description_routes

__all__ = ["description_routes", "openapi"]
