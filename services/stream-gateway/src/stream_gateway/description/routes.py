"""`/openapi.json` and `/docs`. Everything the page loads comes from this server: the viewer is an installed package."""

from functools import cache
from importlib.resources import files
from typing import Final

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from stream_gateway.description.openapi import openapi

_ASSETS: Final = {
    "swagger-ui.css": "text/css; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
}
_PAGE: Final = b"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Planstream: the API</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="docs"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
_START: Final = b'SwaggerUIBundle({url: "/openapi.json", dom_id: "#docs", validatorUrl: null, deepLinking: true});\n'
# The viewer writes styles into its elements, and draws with data: images; nothing comes from elsewhere.
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def description_routes() -> list[Route]:
    """The document is built once, here; the viewer's files are read when somebody asks for them."""
    document = orjson.dumps(openapi())

    async def describe(_: Request) -> Response:
        return Response(document, headers={"Cache-Control": "no-cache"}, media_type="application/json")

    async def page(_: Request) -> Response:
        return Response(_PAGE, headers=_HEADERS, media_type="text/html; charset=utf-8")

    async def start(_: Request) -> Response:
        return Response(_START, headers=_HEADERS, media_type="text/javascript; charset=utf-8")

    assets = [_asset(name, media_type) for name, media_type in _ASSETS.items()]
    return [Route("/openapi.json", describe), Route("/docs", page), Route("/docs/start.js", start), *assets]


def _asset(name: str, media_type: str) -> Route:
    async def serve(_: Request) -> Response:
        return Response(_content(name), headers=_HEADERS, media_type=media_type)

    return Route(f"/docs/{name}", serve)


@cache
def _content(name: str) -> bytes:
    return (files("swagger_ui") / "static" / name).read_bytes()
