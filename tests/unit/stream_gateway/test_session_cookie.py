"""The cookie's names, attributes and age."""

import pytest

from stream_gateway.auth.session_cookie import MAX_CHARS, PLAIN_NAME, SECURE_NAME, SessionCookie

SAFE = "Path=/; HttpOnly; SameSite=Strict"
public, local = SessionCookie(loopback=False), SessionCookie(loopback=True)


@pytest.mark.parametrize("plain", [True, False])
def test_beyond_this_machine_the_cookie_is_always_secure(plain: bool) -> None:
    """With the prefix that ties it to this host alone, whatever the page says of itself."""
    assert public.written("t", 60.9, plain=plain) == f"{SECURE_NAME}=t; {SAFE}; Secure; Max-Age=60"


def test_on_this_machine_a_page_without_tls_gets_a_plain_cookie() -> None:
    """Some browsers would not keep another there; over TLS it is secure all the same."""
    assert local.written("t", 60, plain=True) == f"{PLAIN_NAME}=t; {SAFE}; Max-Age=60"
    assert local.written("t", 60, plain=False).startswith(f"{SECURE_NAME}=t; {SAFE}; Secure")


@pytest.mark.parametrize(("seconds", "age"), [(None, None), (0.2, 1), (-5, 1), (10.0**12, 400 * 86400)])
def test_the_age_is_what_is_left_of_the_token(seconds: float | None, age: int | None) -> None:
    """At least a second, which is not a deletion, and no more than browsers keep; without an end none is said."""
    written = public.written("t", seconds, plain=False)
    assert written.endswith("Secure" if age is None else f"Max-Age={age}")


def test_only_its_own_names_are_read() -> None:
    """A plain cookie, which another host could set, counts on this machine alone; the secure one comes first."""
    both = {SECURE_NAME: "s", PLAIN_NAME: "p"}
    assert (public.read(both), local.read(both)) == ("s", "s")
    assert (public.read({PLAIN_NAME: "p"}), local.read({PLAIN_NAME: "p"})) == (None, "p")
    assert local.read({SECURE_NAME: "", PLAIN_NAME: ""}) is None


def test_a_token_that_browsers_would_drop_does_not_fit() -> None:
    """Name and value together."""
    room = MAX_CHARS - len(SECURE_NAME)
    assert (public.fits("x" * room), public.fits("x" * (room + 1))) == (True, False)


def test_clearing_names_every_cookie_that_is_read() -> None:
    """With the attributes it was set with, and no age."""
    for cookie, names in ((public, [SECURE_NAME]), (local, [SECURE_NAME, PLAIN_NAME])):
        cleared = cookie.cleared()
        assert [header.partition("=")[0] for header in cleared] == names
        assert all(header.endswith("Max-Age=0") and SAFE in header for header in cleared)
