"""`/openapi.json` and `/docs` as a browser meets them: all from this server, and under a policy that says so."""

import re
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

import orjson
import pytest

from stream_gateway.description import openapi

if TYPE_CHECKING:
    from tests.integration.stream_gateway.conftest import Gateway

LOADED = re.compile(r"""(?:src|href)="([^"]*)\"""")


def policy_of(header: str) -> dict[str, list[str]]:
    """A Content-Security-Policy by directive."""
    directives = (part.split() for part in header.split(";"))
    return {name: sources for name, *sources in directives}


async def test_the_description_is_served(gateway: "Gateway") -> None:
    """To anybody, as it is committed, and never from an old cache without a question."""
    answer = await gateway.client.get("/openapi.json")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.json() == orjson.loads(orjson.dumps(openapi()))


async def test_all_that_the_docs_load_is_there_and_of_the_right_kind(gateway: "Gateway") -> None:
    """`nosniff` makes a browser refuse a script or a style of any other kind."""
    page = await gateway.client.get("/docs")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    loaded = LOADED.findall(page.text)
    assert len(loaded) == 3
    for link in loaded:
        assert not urlsplit(link).netloc, "from this server alone"
        asset = await gateway.client.get(urljoin("/docs", link))
        kind = {"css": "text/css", "js": "text/javascript"}[link.rpartition(".")[2]]
        assert asset.status_code == 200
        assert asset.headers["content-type"].startswith(kind)
        assert asset.headers["x-content-type-options"] == "nosniff"
        assert asset.content
    assert "<script>" not in page.text
    start = (await gateway.client.get("/docs/start.js")).text
    assert '"/openapi.json"' in start
    assert "validatorUrl: null" in start, "or the viewer asks a server of its makers"


async def test_the_policy_of_the_docs_lets_them_talk_to_this_server_alone(gateway: "Gateway") -> None:
    """Nothing from elsewhere, no script in the page, nothing framed or sent away."""
    for path in ("/docs", "/docs/start.js", "/docs/swagger-ui-bundle.js"):
        [header] = (await gateway.client.get(path)).headers.get_list("content-security-policy")
        policy = policy_of(header)
        assert policy["default-src"] == ["'none'"]
        assert policy["script-src"] == policy["connect-src"] == ["'self'"]
        assert policy["base-uri"] == policy["form-action"] == policy["frame-ancestors"] == ["'none'"]
        sources = {source for directive in policy.values() for source in directive}
        assert sources <= {"'none'", "'self'", "'unsafe-inline'", "data:"}
        assert "'unsafe-inline'" not in policy["script-src"]


@pytest.mark.parametrize("path", ["/docs/", "/docs/..%2fpage", "/docs/swagger-ui.css.map", "/docs/nothing", "/openapi"])
async def test_nothing_else_is_served_below_the_docs(gateway: "Gateway", path: str) -> None:
    """The viewer's package holds more files than it needs."""
    assert (await gateway.client.get(path)).status_code == 404
