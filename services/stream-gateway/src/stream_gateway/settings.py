"""What the gateway is told by its environment."""

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import NoDecode

from common.settings import BaseUrls, ServiceSettings
from stream_gateway.auth.origins import exact_origin
from stream_gateway.loopback import is_loopback

_MIN_SECRET_BYTES = 32


def _origins(value: object) -> object:
    if not isinstance(value, str):
        return value
    return frozenset(exact_origin(origin.strip()) for origin in value.split(",") if origin.strip())


class Settings(ServiceSettings):
    """See `common.settings` for what every service has."""

    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    plan_api_url: Annotated[str, Field(description="base URL of plan-api")] = "http://127.0.0.1:8081"
    generator_urls: Annotated[BaseUrls, Field(description="base URLs of the generators, separated by commas")] = (
        "http://127.0.0.1:8082",
    )

    auth_mode: Annotated[Literal["jwt", "dev"], Field(description="dev trusts X-User-Id; loopback only")] = "jwt"
    jwt_secret: Annotated[SecretStr | None, Field(description="HS256 key, at least 32 bytes")] = None
    jwt_jwks_url: Annotated[str | None, Field(description="the issuer's public keys, instead of a secret")] = None
    jwt_issuer: Annotated[str | None, Field(description="what `iss` must be")] = None
    jwt_audience: Annotated[str | None, Field(description="what `aud` must hold")] = None
    allowed_origins: Annotated[
        frozenset[str],
        NoDecode,
        BeforeValidator(_origins),
        Field(description="pages that may call us from a browser: exact origins, separated by commas"),
    ] = frozenset()

    sse_heartbeat_seconds: Annotated[float, Field(gt=0)] = 15
    max_stream_age_seconds: Annotated[float, Field(gt=0, description="then the viewer comes again; jittered")] = 600
    max_streams_per_user: Annotated[int, Field(ge=0, description="open at once in this process; 0: no limit")] = 20
    requests_per_minute_per_user: Annotated[int, Field(ge=0, description="in this process; 0: no limit")] = 300
    streaming_timeout: Annotated[int, Field(gt=0, description="ms; how long the synchronous call may take")] = 300_000

    @property
    def listens_on_loopback(self) -> bool:
        """Whether only this machine can connect."""
        return is_loopback(self.host)

    @model_validator(mode="after")
    def _safe(self) -> Self:
        if self.auth_mode == "jwt":
            self._check_jwt()
        elif not self.listens_on_loopback:
            raise ValueError("AUTH_MODE=dev trusts whoever connects: it needs a loopback HOST, such as 127.0.0.1")
        return self

    def _check_jwt(self) -> None:
        if (self.jwt_secret is None) == (self.jwt_jwks_url is None) or not self.jwt_issuer or not self.jwt_audience:
            raise ValueError("AUTH_MODE=jwt needs JWT_ISSUER, JWT_AUDIENCE, and either JWT_SECRET or JWT_JWKS_URL")
        if self.jwt_secret is not None and len(self.jwt_secret.get_secret_value().encode()) < _MIN_SECRET_BYTES:
            raise ValueError(f"JWT_SECRET must have {_MIN_SECRET_BYTES} bytes or more")
        if self.jwt_jwks_url is not None and not _is_safe_url(self.jwt_jwks_url):
            raise ValueError("JWT_JWKS_URL must be https (http on loopback alone): its keys decide who is who")


def _is_safe_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host)))
