"""What every service is told by its environment."""

from dataclasses import dataclass
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

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
    if len({urlsplit(url).scheme for url in urls.get_secret_value().split(",")}) > 1:
        raise ValueError("all addresses begin alike: with TLS for all, or for none")
    return urls


def _whole(value: object) -> object:
    # A Literal of numbers takes no text, and an environment holds nothing else.
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value


def _plain(token: SecretStr) -> SecretStr:
    # Without the value in the message. These are the characters of RFC 6750's b64token, and a few more.
    if not all("!" <= character <= "~" for character in token.get_secret_value()):
        raise ValueError("a service token is made of printable ASCII characters without spaces")
    return token


ServiceToken = Annotated[SecretStr, AfterValidator(_plain), Field(min_length=16)]


@dataclass(frozen=True, slots=True)
class NatsOptions:
    """What is told about NATS beside its address; the files are PEM."""

    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    replicas: int = 1


class ServiceSettings(BaseSettings):
    """Names are those of the environment, in upper case; a service adds its own."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True)

    host: Annotated[str, Field(description="address to listen on")] = "0.0.0.0"  # noqa: S104 - a container's default
    port: Annotated[int, Field(ge=0, le=65535)]
    database_url: Annotated[SecretStr, Field(description="PostgreSQL, as this service's own role")]
    nats_url: Annotated[
        SecretStr, AfterValidator(_servers), Field(description="one or more NATS servers, separated by commas")
    ] = SecretStr("nats://127.0.0.1:4222")
    nats_tls_ca: Annotated[str | None, Field(description="file: who signs the servers' certificates")] = None
    nats_tls_cert: Annotated[str | None, Field(description="file: our certificate, where servers ask for one")] = None
    nats_tls_key: Annotated[str | None, Field(description="file: its key")] = None
    nats_replicas: Annotated[Literal[1, 3, 5], BeforeValidator(_whole), Field(description="of each stream")] = 1
    service_token: Annotated[ServiceToken, Field(description="bearer token between the services")]
    service_token_previous: Annotated[
        ServiceToken | None, Field(description="accepted as well, never sent: while a new token is rolled out")
    ] = None
    log_level: LogLevel = "info"
    retention_days: Annotated[
        int, Field(ge=0, le=36_500, description="how long what has ended is kept; 0 = for ever")
    ] = 0
    admin_port: Annotated[int, Field(ge=0, le=65535, description="where /metrics is; 0: nowhere")] = 0
    otel_exporter_otlp_endpoint: Annotated[
        str | None, Field(description="where traces go, as OTLP over HTTP; without it there are none")
    ] = None
    shutdown_seconds: Annotated[float, Field(gt=0, description="how long open work may take after SIGTERM")] = 20

    @property
    def nats_options(self) -> NatsOptions:
        """For `common.broker.open_broker`."""
        return NatsOptions(self.nats_tls_ca, self.nats_tls_cert, self.nats_tls_key, self.nats_replicas)

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        if (self.nats_tls_cert is None) != (self.nats_tls_key is None):
            raise ValueError("NATS_TLS_CERT and NATS_TLS_KEY belong together")
        secure = self.nats_url.get_secret_value().startswith(("tls://", "wss://"))
        if not secure and (self.nats_tls_ca is not None or self.nats_tls_cert is not None):
            raise ValueError("NATS_TLS_CA and NATS_TLS_CERT need a NATS_URL that begins with tls://")
        return self


def _split_urls(value: object) -> object:
    return (
        tuple(url.strip().rstrip("/") for url in value.split(",") if url.strip()) if isinstance(value, str) else value
    )


# At least one, without trailing slashes.
BaseUrls = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split_urls), Field(min_length=1)]


def faults_of(error: ValidationError) -> list[str]:
    """What is wrong with which setting: a line for each, without the values, some of which are secrets."""
    return [": ".join(filter(None, (_name(item), _words(item)))) for item in error.errors(include_url=False)]


def _name(item: ErrorDetails) -> str:
    return ".".join(map(str, item["loc"])).upper()


def _words(item: ErrorDetails) -> str:
    return item["msg"].removeprefix("Value error, ")
