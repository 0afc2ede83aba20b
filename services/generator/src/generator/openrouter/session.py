"""aiohttp towards OpenRouter: the session, bounded bodies, and what its exceptions mean."""

import asyncio
from typing import Final

import aiohttp

from common.contracts.errors import ErrorCode
from generator.openrouter.config import OpenRouterConfig
from generator.openrouter.failures import UpstreamError

_KEEP_ALIVE_SECONDS: Final = 30
_TITLE: Final = "Planstream"

# Everything the network can raise; anything else is a fault of ours.
NETWORK_ERRORS: Final = (aiohttp.ClientError, OSError, TimeoutError)
# aiohttp says RuntimeError when a connection that broke is read again.
READ_ERRORS: Final = (*NETWORK_ERRORS, RuntimeError)
# The request was not sent.
UNCONNECTED: Final = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL)
# A second try meets the same wall.
_PERMANENT: Final = (aiohttp.ClientConnectorCertificateError, aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError)


def timeouts(config: OpenRouterConfig) -> aiohttp.ClientTimeout:
    """Only the connect phase is aiohttp's: keep-alive comments reset its read timer, so the stream has its own."""
    return aiohttp.ClientTimeout(total=None, connect=config.connect_seconds, sock_connect=config.connect_seconds)


def new_session(config: OpenRouterConfig) -> aiohttp.ClientSession:
    """A session for one process: any number of connections, kept alive between calls; no cookies, no proxy.

    Call it with a running loop, and close it.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_ALIVE_SECONDS),
        timeout=timeouts(config),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        headers={
            "Authorization": f"Bearer {config.api_key.get_secret_value()}",
            # A compressing proxy holds events back until its block is full.
            "Accept-Encoding": "identity",
            "User-Agent": _TITLE,
            "X-OpenRouter-Title": _TITLE,
        },
    )


def network_failure(error: BaseException, doing: str) -> UpstreamError:
    """What a failed connection, a reset or a deadline means to a plan."""
    detail = f"{doing}: {type(error).__name__}: {error}"
    if isinstance(error, TimeoutError):
        return UpstreamError(ErrorCode.UPSTREAM_TIMEOUT, detail, retryable=True)
    return UpstreamError(ErrorCode.UPSTREAM_ERROR, detail, retryable=not isinstance(error, _PERMANENT))


async def read_body(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """A body without the whitespace that kept it alive, cut at `limit` bytes.

    Raises:
        aiohttp.ClientError: the connection broke.
    """
    body = bytearray()
    while data := await response.content.readany():
        body += data if body else data.lstrip()
        if len(body) >= limit:
            break
    return bytes(body[:limit])


def close(response: aiohttp.ClientResponse) -> None:
    """End the connection now; closing alone would leave TLS waiting for the peer's goodbye while it goes on billing."""
    transport = response.connection.transport if response.connection is not None else None
    response.close()
    if transport is not None:
        transport.abort()


async def release(response: aiohttp.ClientResponse, seconds: float) -> None:
    """Give the connection back once the rest of a finished body has come; close it when that takes too long."""
    try:
        async with asyncio.timeout(seconds):
            while await response.content.readany():
                pass
    except READ_ERRORS:
        close(response)
    except BaseException:
        close(response)
        raise
    else:
        response.release()
