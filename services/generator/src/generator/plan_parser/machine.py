"""The parser's state: the document so far, the place in it, and the operations of the current chunk."""

from typing import Any, Final, Literal, NoReturn

from common.contracts.ops import Op, escape
from generator.plan_parser.errors import ParseError

Root = Literal["any", "object"]

# What the machine expects next. Plain integers index the table of handlers.
START: Final = 0  # nothing seen but whitespace
PROSE: Final = 1  # text that is no JSON: looking for the document
VALUE: Final = 2
FIRST_VALUE: Final = 3  # or the end of an array
KEY: Final = 4
FIRST_KEY: Final = 5  # or the end of an object
IN_KEY: Final = 6
COLON: Final = 7
IN_STRING: Final = 8
ESCAPE: Final = 9
NUMBER: Final = 10
LITERAL: Final = 11
AFTER_MEMBER: Final = 12
AFTER_ELEMENT: Final = 13
AFTER_SCALAR: Final = 14  # after a scalar that is the root
DONE: Final = 15
REFUSED: Final = 16


class Machine:
    """What the handlers share. The root lives in an object of its own, under the key "": so its path is "", too."""

    __slots__ = (
        "after",  # state after a value in `container`
        "body",  # state that an escape returns to
        "container",  # the innermost open container
        "doubt",  # why the text is read as prose
        "fenced",  # the document stands in a Markdown fence
        "fresh",  # pieces of the open string, key or number that no operation has told yet
        "held",  # an unfinished escape, or undecided prose; bounded
        "holder",
        "key",
        "literal",  # what is still to come of a literal
        "literal_value",
        "max_chars",
        "max_depth",
        "offset",  # characters before the current chunk
        "opening",  # the open string has had no `add` yet
        "ops",  # of the current chunk
        "parts",  # what operations have told of the open string
        "path",  # of the newest value
        "pending",  # a number that is the document if nothing follows
        "prefix",  # `container`'s path and a slash
        "refusal",
        "root",
        "slot",  # the newest value's key or index in `container`
        "stack",
        "start",  # offset of the current number, or of the first prose
        "state",
        "storable",  # replace what cannot be encoded or stored
        "string_open",
    )

    def __init__(self, *, max_depth: int, max_chars: int, root: Root, storable: bool) -> None:
        self.max_depth = max_depth
        self.max_chars = max_chars
        self.root = root
        self.storable = storable
        self.state = START
        self.offset = 0
        self.start = 0
        self.ops: list[Op] = []
        self.holder: dict[str, Any] = {"": None}
        self.container: Any = self.holder
        self.stack: list[tuple[Any, str, int]] = []
        self.prefix = ""
        self.key = ""
        self.path = ""
        self.slot: str | int = ""
        self.after = AFTER_SCALAR
        self.body = IN_STRING
        self.parts: list[str] = []
        self.fresh: list[str] = []
        self.string_open = False
        self.opening = False
        self.held = ""
        self.literal = ""
        self.literal_value: bool | None = None
        self.pending: int | float | None = None
        self.fenced = False
        self.doubt = ""
        self.refusal: tuple[int, str] | None = None

    def fail(self, at: int, reason: str) -> NoReturn:
        """Refuse the text for good; `at` is an index in the current chunk."""
        self.refuse(self.offset + at, reason)

    def refuse(self, offset: int, reason: str) -> NoReturn:
        """Refuse the text for good; `offset` counts from the start of the text."""
        if self.string_open:
            self.flush()
        self.state = REFUSED
        self.refusal = (offset, reason)
        raise ParseError(offset, reason, self.ops)

    def read_as_prose(self, at: int, reason: str) -> None:
        """Take the text for prose before the document; `reason` is for when none comes."""
        self.start = self.offset + at
        self.doubt = reason
        self.state = PROSE

    def place(self, value: Any) -> None:
        """Put a value where the next one belongs in the document."""
        if self.after == AFTER_ELEMENT:
            self.slot = len(self.container)
            self.container.append(value)
            self.path = f"{self.prefix}{self.slot}"
        else:
            self.slot = self.key
            self.container[self.key] = value
            self.path = self.prefix + escape(self.key)

    def add(self, value: Any) -> None:
        """Place a scalar and tell it."""
        self.place(value)
        self.ops.append({"op": "add", "path": self.path, "value": value})

    def open_container(self, value: dict[str, Any] | list[Any], told: dict[str, Any] | list[Any], at: int) -> None:
        """Place a container and go into it. `told` is an equal one for the operation: `value` grows, that must not."""
        if len(self.stack) >= self.max_depth:
            self.fail(at, f"nested deeper than {self.max_depth}")
        self.place(value)
        self.ops.append({"op": "add", "path": self.path, "value": told})
        self.stack.append((self.container, self.prefix, self.after))
        self.container = value
        self.prefix = self.path + "/"

    def close_container(self) -> None:
        """Go back to the container around this one; the last one ends the document."""
        self.container, self.prefix, self.after = self.stack.pop()
        self.state = self.after if self.stack else DONE

    def flush(self) -> None:
        """Tell what the chunk brought of the open string, as one operation."""
        fresh = self.fresh
        piece = fresh[0] if len(fresh) == 1 else "".join(fresh)
        self.fresh = []
        if self.opening:
            self.opening = False
            self.add(piece)
            self.parts = [piece]
        elif piece:
            self.parts.append(piece)
            self.ops.append({"op": "append", "path": self.path, "value": piece})

    def close_string(self) -> None:
        """End a string value."""
        if self.fresh or self.opening:
            self.flush()
        if len(self.parts) > 1:
            self.join_string()
        self.string_open = False
        self.state = self.after

    def join_string(self) -> None:
        """Write the open string into the document."""
        if len(self.parts) > 1:
            self.parts = ["".join(self.parts)]
            self.container[self.slot] = self.parts[0]
