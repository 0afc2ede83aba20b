"""What a page of another origin is told."""

from stream_gateway.cors import EXPOSED, Cors

APP = b"https://app.example.test"
cors = Cors({APP.decode()})


def test_an_allowed_origin_is_named_with_credentials_and_what_it_may_read() -> None:
    """Exactly that origin; never a star."""
    headers = dict(cors.answer(APP))
    assert headers[b"access-control-allow-origin"] == APP
    assert headers[b"access-control-allow-credentials"] == b"true"
    assert headers[b"access-control-expose-headers"] == ", ".join(EXPOSED).encode()
    assert headers[b"vary"] == b"Origin"


def test_everybody_else_is_told_nothing_but_that_the_origin_counts() -> None:
    """No credentials, no names; a cache must still not mix the two."""
    for origin in (None, b"", b"null", b"https://evil.test", APP + b".evil.test", b"https://APP.example.test"):
        assert cors.answer(origin) == [(b"vary", b"Origin")]
    assert Cors([]).answer(APP) == [(b"vary", b"Origin")]


def test_a_preflight_names_methods_and_headers() -> None:
    """All that a client of ours sends, and for how long the answer holds; a foreign origin gets none."""
    headers = dict(cors.preflight(APP) or [])
    assert {b"GET", b"POST", b"DELETE"} <= set(headers[b"access-control-allow-methods"].split(b", "))
    asked = set(headers[b"access-control-allow-headers"].lower().split(b", "))
    assert {b"authorization", b"content-type", b"idempotency-key", b"last-event-id", b"x-user-id"} <= asked
    assert headers[b"access-control-max-age"] == b"600"
    assert headers[b"vary"].startswith(b"Origin")
    assert cors.preflight(b"https://evil.test") is None
