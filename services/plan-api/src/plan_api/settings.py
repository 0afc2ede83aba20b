"""What plan-api is told by its environment."""

from typing import Annotated

from pydantic import Field

from common.settings import BaseUrls, ServiceSettings

# More than the half minute that the generator adds itself, so that its own word arrives; less than the gateway's.
_SYNCHRONOUS_MARGIN_SECONDS = 35.0

PlansPerMonth = Annotated[int, Field(ge=0, description="plans a user may have written in a month (UTC); 0 = no limit")]


class Settings(ServiceSettings):
    """Names are those of the environment, in upper case."""

    port: Annotated[int, Field(ge=0, le=65535)] = 8081
    generator_urls: Annotated[BaseUrls, Field(description="base URLs of the generators, separated by commas")] = (
        "http://127.0.0.1:8082",
    )
    quota_plans_per_month: PlansPerMonth = 30
    max_running_plans_per_user: Annotated[int, Field(ge=0, description="0 = no limit")] = 20
    streaming_timeout: Annotated[int, Field(gt=0, description="what one attempt at a plan may take, ms")] = 300_000
    queue_timeout_seconds: Annotated[
        float, Field(gt=0, description="how long a job may wait for its claim; 30 at least")
    ] = 120

    @property
    def synchronous_seconds(self) -> float:
        """How long the synchronous call waits for a generator."""
        return self.streaming_timeout / 1000 + _SYNCHRONOUS_MARGIN_SECONDS
