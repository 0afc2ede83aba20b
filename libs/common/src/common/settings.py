"""What every service is told by its environment."""

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

LogLevel = Literal["debug", "info", "warning", "error"]


def _servers(urls: SecretStr) -> SecretStr:
    # Without the value in the message: it may hold a password.
    for number, url in enumerate(urls.get_secret_value().split(","), start=1):
        try:
            parts = urlsplit(url)
            good = parts.scheme in {"nats", "tls", "ws", "wss"} and bool(parts.hostname) and parts.port != 0
        except ValueError:
            good = False
        if not good:
            raise ValueError(f"address {number} must be like nats://host:4222")
    return urls


class ServiceSettings(BaseSettings):
    """Names are those of the environment, in upper case; a service adds its own."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True)

    host: Annotated[str, Field(description="address to listen on")] = "0.0.0.0"  # noqa: S104 - a container's default
    port: Annotated[int, Field(ge=0, le=65535)]
    database_url: Annotated[SecretStr, Field(description="PostgreSQL, as this service's own role")]
    nats_url: Annotated[
        SecretStr, AfterValidator(_servers), Field(description="one or more NATS servers, separated by commas")
    ] = SecretStr("nats://127.0.0.1:4222")
    service_token: Annotated[SecretStr, Field(min_length=16, description="bearer token between the services")]
    service_token_previous: Annotated[
        SecretStr | None, Field(description="still accepted while a new token is rolled out")
    ] = None
    log_level: LogLevel = "info"
    shutdown_seconds: Annotated[float, Field(gt=0, description="how long open work may take after SIGTERM")] = 20


def split_urls(value: str) -> tuple[str, ...]:
    """A comma-separated list of base URLs, without trailing slashes."""
    return tuple(url.strip().rstrip("/") for url in value.split(",") if url.strip())
