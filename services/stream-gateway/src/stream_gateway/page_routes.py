"""The reference page and plan-stream.js: static files, and a policy that lets them talk to this origin alone."""

from importlib.resources import files
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_SCRIPT: Final = "text/javascript; charset=utf-8"
_STYLE: Final = "text/css; charset=utf-8"
_FILES: Final = {
    "/": ("index.html", "text/html; charset=utf-8"),
    # For other pages as well: one module without dependencies, and its types.
    "/plan-stream.js": ("plan-stream.js", _SCRIPT),
    "/plan-stream.d.ts": ("plan-stream.d.ts", "text/plain; charset=utf-8"),
    **{f"/page/{name}": (name, _SCRIPT) for name in ("app.js", "inputs.js", "plan-view.js", "shelf.js", "words.js")},
    **{f"/page/{name}": (name, _STYLE) for name in ("style.css", "plan.css")},
    "/page/icon.svg": ("icon.svg", "image/svg+xml"),
}
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


def page_routes() -> list[Route]:
    """`/` and what the page loads."""
    return [_route(path, name, media_type) for path, (name, media_type) in _FILES.items()]


def _route(path: str, name: str, media_type: str) -> Route:
    content = (files("stream_gateway") / "page" / name).read_bytes()

    async def serve(_: Request) -> Response:
        return Response(content, headers=_HEADERS, media_type=media_type)

    return Route(path, serve)
