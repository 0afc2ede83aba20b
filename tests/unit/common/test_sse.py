"""The SSE encoder and decoder against a parser that is written from the standard, WHATWG HTML section 9.2.6."""

from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from common.sse import HEARTBEAT, Decoder, ServerSentEvent, encode, retry

ANY_TEXT = st.text(max_size=40)
# What a field can carry: no line ends, no NUL. Lone surrogates have no bytes in UTF-8.
FIELD = st.text(st.characters(exclude_characters="\r\n\0", codec="utf-8"), max_size=20)
NAME = FIELD.filter(bool)
DOCUMENT = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(codec="utf-8"), max_size=40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=8,
)
# Lines of streams, good and bad, with any of the three ends, and between them whatever bytes.
LINES = st.sampled_from(
    [
        *(b"", b"data", b"data:", b"data: x", b"data:  x", b"data: \xf0\x9f\x92\xa9", b"event: a", b"event:", b"event"),
        *(
            b"id: 1.2",
            b"id: a\0b",
            b"id",
            b"retry: 10",
            b"retry: 1x",
            b"retry:",
            b":",
            b": note",
            b"\xef\xbb\xbfdata: x",
        ),
        *(b"Data: x", b"data : x", b" data: x", b"unknown: x", b"x:y:z", b"data: \xf0\x9f", b"data: \xff", b"\0"),
    ]
)
SOUP = st.lists(
    st.tuples(LINES, st.sampled_from([b"\n", b"\r", b"\r\n"])).map(b"".join) | st.binary(max_size=3), max_size=20
).map(b"".join)


@dataclass
class Reader:
    """The standard's event stream interpretation, over a whole stream, in its own words."""

    dispatched: list[ServerSentEvent] = field(default_factory=list)
    reconnection_time: int | None = None
    last_event_id: str = ""
    _data: str = ""
    _type: str = ""
    _id_buffer: str = ""

    def read(self, stream: bytes) -> "Reader":
        """Interpret it; what no blank line ends at the end of the file is not dispatched."""
        text = stream.decode("utf-8", "replace")
        text = text.removeprefix("\ufeff")
        lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        for line in lines[:-1]:  # the last is not ended
            self._line(line)
        return self

    def _line(self, line: str) -> None:
        if line == "":
            self._dispatch()
        elif line.startswith(":"):
            pass
        elif ":" in line:
            name, value = line[: line.index(":")], line[line.index(":") + 1 :]
            self._process(name, value.removeprefix(" "))
        else:
            self._process(line, "")

    def _process(self, name: str, value: str) -> None:
        if name == "event":
            self._type = value
        elif name == "data":
            self._data += value + "\n"
        elif name == "id":
            if "\0" not in value:
                self._id_buffer = value
        elif name == "retry" and value and all(digit in "0123456789" for digit in value):
            self.reconnection_time = int(value)

    def _dispatch(self) -> None:
        self.last_event_id = self._id_buffer
        if self._data == "":
            self._type = ""
            return
        data = self._data[:-1]
        self.dispatched.append(ServerSentEvent(self._type or "message", data, self.last_event_id))
        self._data = self._type = ""


def encoded(event: str, document: Any, event_id: str | None) -> bytes:
    """As the services write an event."""
    return encode(event, orjson.dumps(document), event_id)


@given(st.lists(st.tuples(NAME, DOCUMENT, FIELD), max_size=4), st.integers(0, 10**6))
@example([("progress", {"text": "a\r\n\u2028\x85\0b\ndata: c\n\nevent: x"}, "1.1")], 0)
@example([("snapshot", "\ufeff\u202e\U0001f4a9\u0000", "\ufeff")], 0)
@example([("a:b", "", ": ")], 0)
def test_what_is_encoded_is_what_is_read(events: list[tuple[str, Any, str]], wait: int) -> None:
    """Any text of a plan, any id: the same events with the same documents, and the same time to wait."""
    stream = retry(wait) + HEARTBEAT.join(encoded(*event) for event in events) + HEARTBEAT
    reader = Reader().read(stream)
    told = [(event.event, orjson.loads(event.data), event.id) for event in reader.dispatched]
    assert told == events
    assert reader.reconnection_time == wait


@given(NAME, DOCUMENT)
def test_an_event_without_an_id_leaves_the_last_one(event: str, document: Any) -> None:
    """`connected` has none: whoever resumes after it resumes from where they were."""
    reader = Reader().read(encoded("first", 1, "1.7") + encoded(event, document, None))
    assert [each.id for each in reader.dispatched] == ["1.7", "1.7"]


@given(ANY_TEXT, ANY_TEXT, st.sampled_from(["\r", "\n", "\0", "\r\n", "\ud800"]))
def test_a_field_that_would_be_read_as_another_is_refused(before: str, after: str, evil: str) -> None:
    """In the event's name, in its id, and a line end in its data."""
    with pytest.raises(ValueError):  # noqa: PT011 - a surrogate is refused by the codec, in its own words
        encode(before + evil + after, b"{}")
    with pytest.raises(ValueError):  # noqa: PT011 - the same
        encode("progress", b"{}", before + evil + after)
    for end in (b"\r", b"\n", b"\r\n"):
        with pytest.raises(ValueError, match="one line"):
            encode("progress", b"{" + end + b"}", "1.1")


@given(NAME, DOCUMENT, FIELD)
@settings(max_examples=30)
def test_a_stream_cut_anywhere_gives_whole_events_or_none(event: str, document: Any, event_id: str) -> None:
    """A connection that breaks at any byte leaves no half of an event, and no id of one that was not delivered."""
    first, second = encoded("first", 1, "1.0"), encoded(event, document, event_id)
    whole = Reader().read(first + second).dispatched
    for cut in range(len(first) + len(second)):
        reader = Reader().read((first + second)[:cut])
        there = 0 if cut < len(first) else 1
        assert reader.dispatched == whole[:there]
        assert reader.last_event_id == ("1.0" if there else "")


@given(SOUP)
@example(b"\xef\xbb\xbf\xef\xbb\xbfdata: x\n\n")
@example(b"data: a\r\rdata: b\r\n\r\n\n")
@example(b"id: 1\n\nid\ndata: x\n\n")
@example(b"data: a\r\ndata: b\r\n\r\ndata: c\r\n")
def test_the_decoder_reads_as_the_standard_says(stream: bytes) -> None:
    """Whatever the bytes, and cut wherever: the same events as of the whole."""
    expected = Reader().read(stream).dispatched
    assert Decoder().feed(stream) == expected
    bytewise = Decoder()
    assert [event for byte in stream for event in bytewise.feed(bytes([byte]))] == expected
    for cut in range(0, len(stream), max(len(stream) // 7, 1)):
        halves = Decoder()
        assert halves.feed(stream[:cut]) + halves.feed(stream[cut:]) == expected


@pytest.mark.parametrize(
    ("stream", "events", "wait"),
    [
        (b"data: a\ndata: b\n\n", [("message", "a\nb", "")], None),
        (b"data\n\ndata\ndata\n\ndata:", [("message", "", ""), ("message", "\n", "")], None),
        (b"data:x\n\ndata: x\n\ndata:  x\n\n", [("message", "x", "")] * 2 + [("message", " x", "")], None),
        (b"id: 1\ndata: a\n\nid\ndata: b\n\nid: 2\0\ndata: c\n\n", [("message", "a", "1"), ("message", "b", ""),
                                                                    ("message", "c", "")], None),
        (b"event: x\n\ndata: a\n\n", [("message", "a", "")], None),
        (b"retry: 7\nretry: \xd9\xa1\nretry: -1\nretry: 1.5\nretry:\n\n", [], 7),
    ],
)  # fmt: skip
def test_the_reader_is_the_standards(stream: bytes, events: list[tuple[str, str, str]], wait: int | None) -> None:
    """Cases that the standard names, by hand: the parser that judges the others is judged itself."""
    reader = Reader().read(stream)
    assert [(event.event, event.data, event.id) for event in reader.dispatched] == events
    assert reader.reconnection_time == wait
