"""The incremental JSON parser of the plan stream. Pure: text in, operations out."""

from generator.plan_parser.errors import ParseError
from generator.plan_parser.parser import StreamingJSONParser

__all__ = ["ParseError", "StreamingJSONParser"]
