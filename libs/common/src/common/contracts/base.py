"""The base of every wire model."""

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Envelope(BaseModel):
    """A message between parties that may be of different versions: camelCase, unknown fields are skipped."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore")

    def to_json(self) -> bytes:
        """Encode with wire names, UTF-8."""
        return self.model_dump_json(by_alias=True).encode()


class Request(BaseModel):
    """What a client sends: camelCase, and a field we do not know is an error the client should hear of."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="forbid")
