"""Two readings of one chunk: the short one for those that carry content alone, and the full one."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generator.openrouter.chunks import classify, plain_content

ODD = st.sampled_from([None, "", "x", 0, [], {}, ["x"], {"message": "no"}])
DELTAS = st.dictionaries(st.sampled_from(["content", "role", "refusal", "reasoning"]), ODD | st.text(), max_size=3)
CHOICES = st.fixed_dictionaries(
    {}, optional={"delta": ODD | DELTAS, "finish_reason": ODD | st.just("error"), "error": ODD}
)
EVENTS = st.fixed_dictionaries(
    {}, optional={"choices": ODD | st.lists(CHOICES | ODD, max_size=2), "usage": ODD, "error": ODD, "debug": ODD}
)


@given(EVENTS)
def test_the_short_reading_agrees_with_the_full_one(event: dict[str, Any]) -> None:
    """What it takes for content alone is that: the same text, and no end, error, refusal, usage or debug beside it."""
    content = plain_content(event)
    if content is not None:
        chunk = classify(event)
        assert chunk.meaningful
        assert chunk._replace(reasoning=False) == (content, False, "", None, None, None, False)


@pytest.mark.parametrize("extra", [{}, {"finish_reason": None}, {"finish_reason": None, "logprobs": None}])
def test_an_ordinary_chunk_takes_the_short_way(extra: dict[str, Any]) -> None:
    """The shape of nearly every chunk is known by it."""
    choice = {"index": 0, "delta": {"content": "{", "role": "assistant"}, **extra}
    assert plain_content({"id": "gen-1", "model": "a/b", "provider": "x", "choices": [choice]}) == "{"
