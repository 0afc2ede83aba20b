"""Settings: the command line beats the environment (`EMULATOR_*`), which beats the defaults."""

import argparse
from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

ENVIRONMENT_PREFIX = "EMULATOR_"

Port = Annotated[int, Field(ge=0, le=65_535)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Settings(BaseModel):
    """How the server listens, and how a model is played when no behaviour says otherwise."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", description="address to listen on")
    port: Port = Field(8081, description="port of the API and the control API; 0 takes a free one")
    control_port: Port | None = Field(None, description="a second port with the same routes; 0 takes a free one")
    ttft_seconds: Seconds = Field(0.4, description="time to first token")
    tokens_per_second: float = Field(60.0, gt=0, le=1e9, description="pace after the first token")
    jitter: float = Field(0.2, ge=0, le=1, description="share by which single token gaps vary; the mean stays")
    chars_per_token: int = Field(4, ge=1, description="length of a token in characters")
    comment_seconds: float = Field(0.5, gt=0, description="interval of comments while there are no tokens")
    between_comment_seconds: float = Field(2.0, gt=0, description="interval of comments between tokens")
    write_interval_seconds: Seconds = Field(0.0, description="least time between a stream's writes; for load tests")
    generation_delay_seconds: Seconds = Field(
        0.5, description="how long /generation answers 404 after a response ended"
    )
    seed: int = Field(0, description="mixed into every plan and every jitter")
    log_level: str = Field("warning", description="uvicorn's log level: info also prints an access log")


def read_settings(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """Settings from a command line and an environment.

    Raises:
        pydantic.ValidationError: a value does not fit its field.
        SystemExit: `--help`, or an unknown option.
    """
    given = vars(_argument_parser().parse_args(arguments))
    values = {name: environment.get(ENVIRONMENT_PREFIX + name.upper()) for name in Settings.model_fields}
    values |= {name: value for name, value in given.items() if value is not None}
    return Settings.model_validate({name: value for name, value in values.items() if value not in (None, "")})


def _argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m openrouter_emulator",
        description="A server that speaks OpenRouter's chat completions, for development and tests.",
        epilog="Every option can also be given in the environment, as EMULATOR_ and its name: EMULATOR_TTFT_SECONDS=1",
    )
    for name, field in Settings.model_fields.items():
        option = "--" + name.replace("_", "-")
        default = "" if field.default is None else f" (default: {field.default})"
        parser.add_argument(option, dest=name, metavar="VALUE", help=f"{field.description}{default}")
    return parser
