"""What the gateway is told by its environment."""

import ipaddress
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, model_validator

from common.settings import ServiceSettings


class Settings(ServiceSettings):
    """See `common.settings` for what every service has."""

    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    plan_api_url: Annotated[str, Field(description="base URL of plan-api")] = "http://127.0.0.1:8081"
    generator_urls: Annotated[str, Field(description="base URLs of generators, separated by commas")] = (
        "http://127.0.0.1:8082"
    )

    auth_mode: Annotated[Literal["jwt", "dev"], Field(description="dev trusts X-User-Id; loopback only")] = "jwt"
    jwt_secret: Annotated[SecretStr | None, Field(description="HS256 key, at least 32 bytes")] = None
    jwt_issuer: Annotated[str | None, Field(description="what `iss` must be")] = None
    jwt_audience: Annotated[str | None, Field(description="what `aud` must hold")] = None

    sse_heartbeat_seconds: Annotated[float, Field(gt=0)] = 15
    max_stream_age_seconds: Annotated[float, Field(gt=0, description="then the viewer comes again; jittered")] = 600
    max_streams_per_user: Annotated[int, Field(ge=0, description="open at once in this process; 0: no limit")] = 20
    streaming_timeout: Annotated[int, Field(gt=0, description="ms; how long the synchronous call may take")] = 300_000

    @model_validator(mode="after")
    def _safe(self) -> Self:
        if self.auth_mode == "dev" and not _is_loopback(self.host):
            raise ValueError("AUTH_MODE=dev trusts whoever connects: it needs a loopback HOST, such as 127.0.0.1")
        if self.auth_mode == "jwt":
            secret = self.jwt_secret.get_secret_value() if self.jwt_secret else ""
            if len(secret.encode()) < 32 or not self.jwt_issuer or not self.jwt_audience:
                raise ValueError("AUTH_MODE=jwt needs JWT_SECRET (32 bytes or more), JWT_ISSUER and JWT_AUDIENCE")
        return self


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
