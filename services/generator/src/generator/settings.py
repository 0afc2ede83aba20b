"""What the generator is told by its environment."""

from typing import Annotated, Any

from pydantic import Field, SecretStr, field_validator

from common.settings import ServiceSettings


class Settings(ServiceSettings):
    """The guide's names: STREAMING_TIMEOUT in milliseconds, STREAMING_CHUNK_SIZE in bytes (of text: characters)."""

    port: int = 8082

    openrouter_api_key: Annotated[SecretStr, Field(min_length=1)]
    openrouter_base_url: str = "https://openrouter.ai/api/v1"
    openrouter_model: str = "anthropic/claude-3.5-sonnet"
    openrouter_fallback_models: Annotated[str, Field(description="up to 2, separated by commas")] = ""
    openrouter_temperature: Annotated[float, Field(ge=0, le=2)] = 0.7
    openrouter_max_tokens: Annotated[int, Field(gt=0)] = 8000

    streaming_timeout: Annotated[int, Field(gt=0, description="ms for one attempt")] = 300_000
    streaming_chunk_size: Annotated[int, Field(gt=0, description="characters in a read that ends pausing")] = 1024
    progress_interval_ms: Annotated[int, Field(ge=0, le=1000)] = 40

    generator_concurrency: Annotated[int, Field(gt=0, description="plans at once in this process")] = 500
    disconnect_grace_seconds: Annotated[float, Field(ge=-1, description="0: at once, -1: never")] = 30

    connect_seconds: Annotated[float, Field(gt=0, description="name, TCP and TLS together")] = 10
    first_data_seconds: Annotated[float, Field(gt=0, description="to the first data that is no debug chunk")] = 60
    silence_seconds: Annotated[float, Field(gt=0, description="between two pieces of content or reasoning")] = 60
    max_output_chars: Annotated[int, Field(gt=0, le=512 * 1024, description="content of one call")] = 512 * 1024
    usage_lookup_seconds: Annotated[float, Field(ge=0, description="patience for what a broken call cost")] = 16
    upstream_tries: Annotated[int, Field(ge=1, description="before content")] = 3
    retry_pause_seconds: Annotated[float, Field(ge=0, description="before the second try; doubles with each")] = 0.5
    retry_pause_max_seconds: Annotated[float, Field(ge=0, description="Retry-After may ask for more")] = 20
    continuations: Annotated[int, Field(ge=0, description="after content")] = 4
    repairs: Annotated[int, Field(ge=0)] = 1
    attempts: Annotated[int, Field(ge=1, description="claims of one plan by generators")] = 5

    @field_validator("openrouter_base_url")
    @classmethod
    def _no_trailing_slash(cls, value: str) -> str:
        return value.rstrip("/")

    def fallback_models(self) -> tuple[str, ...]:
        """The models that OpenRouter may turn to."""
        return tuple(model.strip() for model in self.openrouter_fallback_models.split(",") if model.strip())

    def model_post_init(self, _: Any, /) -> None:
        """OpenRouter takes at most three models in all."""
        if len(self.fallback_models()) > 2:
            raise ValueError("OPENROUTER_FALLBACK_MODELS takes at most 2 models beside OPENROUTER_MODEL")
