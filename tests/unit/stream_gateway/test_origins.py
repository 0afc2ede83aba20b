"""Which page a request comes from, and which origins may be named in the settings."""

import pytest

from stream_gateway.auth.origins import Source, exact_origin, is_plain_loopback, source_of
from stream_gateway.loopback import host_of, is_loopback

APP = "https://app.example.test"
HOST = "api.example.test"


@pytest.mark.parametrize(
    ("origins", "site", "host", "expected"),
    [
        ([APP], None, HOST, Source.OURS),
        ([APP], "same-site", HOST, Source.OURS),
        ([APP], "cross-site", HOST, Source.OURS),
        ([], "same-origin", HOST, Source.OURS),
        (["https://api.example.test"], None, HOST, Source.OURS),
        (["https://api.example.test"], None, HOST.upper(), Source.OURS),
        (["http://127.0.0.1:8080"], None, "127.0.0.1:8080", Source.OURS),
        (["http://localhost:8080"], None, "localhost:8080", Source.OURS),
        ([], None, HOST, Source.UNSAID),
        ([], "none", HOST, Source.UNSAID),
        ([], "same-site", HOST, Source.FOREIGN),
        ([], "cross-site", HOST, Source.FOREIGN),
        (["https://evil.test"], None, HOST, Source.FOREIGN),
        (["https://evil.test"], "cross-site", HOST, Source.FOREIGN),
        (["http://api.example.test"], None, HOST, Source.FOREIGN),
        (["http://127.0.0.1:3000"], None, "127.0.0.1:8080", Source.FOREIGN),
        (["null"], None, HOST, Source.FOREIGN),
        ([""], None, "", Source.FOREIGN),
        (["https://"], None, "", Source.FOREIGN),
        ([APP + ".evil.test"], None, HOST, Source.FOREIGN),
        ([APP + "/"], None, HOST, Source.FOREIGN),
        ([APP, "https://evil.test"], None, HOST, Source.FOREIGN),
        ([APP, APP], "same-origin", HOST, Source.FOREIGN),
    ],
)
def test_a_request_is_ours_foreign_or_says_nothing(
    origins: list[str], site: str | None, host: str, expected: Source
) -> None:
    """An exact origin, the browser's word that it is the same, or the host that was asked; nothing like it."""
    assert source_of(origins, site, host, {APP}) is expected


@pytest.mark.parametrize(
    "origin", [APP, "http://localhost:5173", "http://[::1]:8080", "capacitor://localhost", "https://xn--bcher-kva.test"]
)
def test_exact_origins_are_taken(origin: str) -> None:
    """As a browser writes them."""
    assert exact_origin(origin) == origin


@pytest.mark.parametrize(
    "origin",
    [
        *("*", "null", "", "app.example.test", "https://*.example.test", "https://app.example.test/", "https://"),
        *("https://App.example.test", "https://app.example.test:443", "http://app.example.test:80", "https://a b"),
        *("https://user@app.example.test", "https://app.example.test/x", "https://app.example.test:0", "https://a\n"),
    ],
)
def test_other_origins_are_refused_with_how_to_write_them(origin: str) -> None:
    """A star, a path, a default port or a capital letter would never match, or match too much."""
    with pytest.raises(ValueError, match="exact origin"):
        exact_origin(origin)


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("http://127.0.0.1:8080", True),
        ("http://localhost", True),
        ("http://app.localhost:3000", True),
        ("https://127.0.0.1", False),
        ("http://localhost.evil.test", False),
        ("http://10.0.0.1", False),
        ("", False),
    ],
)
def test_pages_of_this_machine_without_tls(origin: str, expected: bool) -> None:
    """Only there may a cookie do without `Secure`."""
    assert is_plain_loopback(origin) is expected


@pytest.mark.parametrize(
    ("authority", "host", "loopback"),
    [
        ("127.0.0.1:8080", "127.0.0.1", True),
        ("[::1]:8080", "::1", True),
        ("LOCALHOST", "localhost", True),
        ("127.0.0.1.evil.test", "127.0.0.1.evil.test", False),
        ("localhost@evil.test", "evil.test", False),
        ("[", "", False),
    ],
)
def test_the_host_of_an_authority(authority: str, host: str, loopback: bool) -> None:
    """Without port and brackets, and what cannot be read is nobody's."""
    assert (host_of(authority), is_loopback(host_of(authority))) == (host, loopback)
