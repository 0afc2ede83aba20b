"""What a test may ask the emulator to do: one field a trait, all with the ordinary case as the default."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

UsageShape = Literal["repeat_finish", "null_finish", "empty_choices", "none"]
ErrorShape = Literal["finish_error", "empty_choices", "no_choices", "after_length", "choice_level"]
OddChunk = Literal["choices_empty", "choices_null", "choices_missing", "content_null", "content_empty", "delta_null"]
ContentForm = Literal[
    "plain",
    "pretty",
    "fenced",
    "prose_before",
    "prose_after",
    "trailing_comma",
    "invalid_json",
    "wrong_shape",
    "invalid_plan",
    "surplus_week",
    "no_weeks",
]

Tokens = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class ControlModel(BaseModel):
    """Part of the control API: a misspelt field is an error the test should hear of."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class HttpError(ControlModel):
    """An error before commitment: an HTTP status and a JSON body (fact sheet §4)."""

    status: Annotated[int, Field(ge=400, le=599)]
    variant: Literal["default", "moderation", "in_flight_budget", "own_rate_limit", "context_length"] = "default"
    message: str | None = Field(None, description="instead of the recorded message of this status")
    metadata: dict[str, Any] | None = Field(None, description="instead of the recorded metadata")
    retry_after: int | str | None = Field(None, description="the Retry-After header: seconds, or any text")
    headers: dict[str, str] = Field({}, description="further headers; they replace the recorded ones")
    body: str | None = Field(None, description="the exact body, instead of the JSON; 524 sends HTML by itself")
    content_type: str | None = None


class StreamError(ControlModel):
    """An error inside a 200 (§3). In a non-streaming answer: the error alone, or beside partial content."""

    shape: ErrorShape = "finish_error"
    after_tokens: Tokens = 0
    code: int | str = 502
    message: str = "Provider returned error"
    error_type: str | None = Field("provider_unavailable", description="error.metadata.error_type; null leaves it out")
    metadata: dict[str, Any] = Field({}, description="further members of error.metadata")
    done: bool | None = Field(None, description="whether [DONE] follows; null: only in the shape after_length")


class Behaviour(ControlModel):
    """How one answer is given. Tokens are counted from the first delta, reasoning included."""

    # Pace; None means the server's own setting.
    headers_delay_seconds: Seconds = Field(0.0, description="silence before the response headers")
    ttft_seconds: Seconds | None = None
    tokens_per_second: Annotated[float, Field(gt=0, le=1e9)] | None = None
    jitter: Annotated[float, Field(ge=0, le=1)] | None = None
    chars_per_token: Annotated[int, Field(ge=1)] | None = None
    comments: bool = Field(True, description="keep-alives: SSE comments, or white space when not streaming")
    comment_seconds: Annotated[float, Field(gt=0)] | None = None
    between_comment_seconds: Annotated[float, Field(gt=0)] | None = None

    # Framing.
    drip_seconds: Seconds | None = Field(None, description="send single bytes, this far apart; 0: as fast as it goes")
    crlf: bool = Field(False, description="CRLF line ends")
    space_after_data: bool = True
    done: bool = Field(True, description="send [DONE] at the end")

    # Failures.
    http_error: HttpError | None = None
    stream_error: StreamError | None = None
    length_after_tokens: Tokens | None = Field(None, description="finish_reason length after that many tokens")
    eof_after_tokens: Tokens | None = Field(None, description="end of the response after that many tokens")
    eof_framing: Literal["complete", "cut"] = Field("complete", description="cut: close without the last HTTP chunk")
    reset_after_tokens: Tokens | None = Field(None, description="TCP reset in the middle of the next event")
    stall_after_tokens: Tokens | None = Field(None, description="no more tokens from there on")
    stall_seconds: Seconds | None = Field(None, description="go on after that time; null: never")
    stall_comments: bool = Field(True, description="false: silence")

    # What is said.
    content: str | None = Field(None, description="the exact text, instead of a plan")
    form: ContentForm = "plain"
    finish_reason: str = "stop"
    native_finish_reason: str = "completed"
    refusal: str | None = Field(None, description="refuse with this text: delta.refusal and content_filter")
    reasoning_tokens: Tokens = 0
    reasoning_kind: Literal["text", "summary", "encrypted"] = "text"
    encrypted_chars: Annotated[int, Field(ge=0, le=4_000_000)] = 4096
    odd_chunks: list[OddChunk] = Field([], description="each one event, in this order, after the first token")
    usage_shape: UsageShape = "repeat_finish"
    choices: Literal["one", "empty", "null", "missing"] = Field("one", description="of a non-streaming answer")
    leading_whitespace: Annotated[int, Field(ge=0)] = Field(0, description="keep-alives before a non-streaming body")
    model_index: Annotated[int, Field(ge=0, le=2)] = Field(0, description="which of `models` answers (a fallback)")
    provider: str = "OpenAI"
    generation_delay_seconds: Seconds | None = Field(None, description="/generation answers 404 for so long")

    @model_validator(mode="after")
    def _one_ending(self) -> Self:
        endings = ("http_error", "stream_error", "length_after_tokens", "eof_after_tokens", "reset_after_tokens")
        given = [name for name in endings if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"an answer ends in one way only, not in {' and '.join(given)}")
        return self


class Match(ControlModel):
    """Which requests a behaviour is for; what is left out matches all."""

    prompt_contains: str | None = Field(None, description="a part of any message's text")
    session_id: str | None = None
    stream: bool | None = None
    model: str | None = None


class Assignment(ControlModel):
    """The body of `POST /control/behaviours`."""

    behaviour: Behaviour = Behaviour()
    match: Match = Match()
    times: Annotated[int, Field(ge=1)] | None = Field(1, description="for so many requests; null: until cleared")
