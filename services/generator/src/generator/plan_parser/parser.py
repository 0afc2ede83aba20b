"""The streaming parser: text in, operations out, at a cost that follows the chunk and not the document."""

from typing import Any, Final, Literal

from common.contracts.ops import Op
from generator.plan_parser import preamble, scalars, structure
from generator.plan_parser.errors import ParseError
from generator.plan_parser.machine import AFTER_SCALAR, DONE, IN_KEY, IN_STRING, NUMBER, PROSE, REFUSED, START, Machine
from generator.plan_parser.structure import Handler

MAX_DEPTH: Final = 64
MAX_CHARS: Final = 512 * 1024


def _ignore(_machine: Machine, text: str, _at: int) -> int:
    return len(text)


def _refuse_again(machine: Machine, _text: str, _at: int) -> int:
    assert machine.refusal is not None, "set with the state"
    raise ParseError(*machine.refusal)


# Indexed by the machine's state, in the order of its constants.
_HANDLERS: Final[tuple[Handler, ...]] = (
    preamble.start,
    preamble.prose,
    structure.value,
    structure.first_value,
    structure.key,
    structure.first_key,
    scalars.in_string,  # in a key
    structure.colon,
    scalars.in_string,
    scalars.escape,
    scalars.number,
    scalars.literal,
    structure.after_member,
    structure.after_element,
    preamble.after_scalar,
    _ignore,
    _refuse_again,
)

_WITHIN_TEXT: Final = frozenset((IN_STRING, IN_KEY))


class StreamingJSONParser:
    """Parses a JSON document (RFC 8259) that arrives in pieces, and tells each piece as operations.

    The law: for any JSON text and any split of it, folding the operations (`common.fold.apply`) = `.value` =
    `json.loads(text)`; and after each chunk the fold so far = `.value`. What `json.loads` refuses is refused, and so
    are NaN and Infinity, which are no JSON.

    A string is an `add` with what is there, then `append`s, one for each chunk at most; containers are an `add` of
    {} or []; keys, numbers and literals appear when complete. A root number is complete only at `close()`.
    What follows an object or array is ignored. `preamble` has the rule for what stands before the document.

    Args:
        max_depth: containers within each other.
        max_chars: characters up to the document's end, with the prose before it.
        root: "object" takes only an object for the document, and all before its brace for prose.
        storable: put U+FFFD for what an escape may name but UTF-8 or Postgres' jsonb cannot hold: NUL and half a
            surrogate pair. Refuse numbers beyond 64 bits, which not every JSON library writes. The law then holds for
            texts without either.
    """

    __slots__ = ("_machine",)

    def __init__(
        self,
        *,
        max_depth: int = MAX_DEPTH,
        max_chars: int = MAX_CHARS,
        root: Literal["any", "object"] = "any",
        storable: bool = False,
    ) -> None:
        self._machine = Machine(max_depth=max_depth, max_chars=max_chars, root=root, storable=storable)

    def add_chunk(self, text: str) -> list[Op]:
        """Take the next piece of the text and return what it changes in the document, in order.

        Raises:
            ParseError: the text is refused; from then on every call raises.
        """
        machine = self._machine
        state = machine.state
        length = len(text)
        if machine.offset + length > machine.max_chars or (state == PROSE and machine.held):
            return self._add_warily(text)
        # Most chunks lie within one string or key, and most of these show it without a pattern, at a third of the time.
        if state in _WITHIN_TEXT and length and text.isprintable() and '"' not in text and "\\" not in text:
            machine.offset += length
            if state == IN_KEY:
                machine.fresh.append(text)
                return []
            machine.parts.append(text)
            return [{"op": "append", "path": machine.path, "value": text}]
        return _run(machine, text)

    def _add_warily(self, text: str) -> list[Op]:
        """The rare ways: prose that was held comes again, with this chunk; what goes beyond the bound is cut off."""
        machine = self._machine
        if machine.state == PROSE:
            text = machine.held + text
            machine.offset -= len(machine.held)
            machine.held = ""
        if machine.state >= DONE:
            return _run(machine, text)
        room = machine.max_chars - machine.offset
        ops = _run(machine, text[:room])
        if len(text) > room and machine.state < DONE:
            machine.refuse(machine.max_chars, f"longer than {machine.max_chars} characters")
        return ops

    def close(self) -> list[Op]:
        """Say that the text has ended. Returns the operation of a root number, else nothing.

        Raises:
            ParseError: there is no document in the text, or it is truncated.
        """
        machine = self._machine
        machine.ops = []
        if machine.state == NUMBER and not machine.stack:
            scalars.close_number(machine)
        if machine.state == AFTER_SCALAR:
            preamble.tell_pending(machine)
            machine.state = DONE
        if machine.state == REFUSED:
            _refuse_again(machine, "", 0)
        if machine.state == PROSE:
            machine.refuse(machine.start, f"no JSON document: {machine.doubt}")
        if machine.state != DONE:
            machine.refuse(machine.offset, "no JSON document" if machine.state == START else "the text is truncated")
        return machine.ops

    @property
    def value(self) -> Any:
        """The document so far; None before it begins. It is the live one: the next chunk changes it in place."""
        machine = self._machine
        if machine.string_open:
            machine.join_string()
        return machine.holder[""]

    @property
    def complete(self) -> bool:
        """Whether the document is whole. A string or literal at the root is, until more text shows it was prose."""
        machine = self._machine
        return machine.state == DONE or (machine.state == AFTER_SCALAR and machine.pending is None)

    @property
    def depth(self) -> int:
        """How many objects and arrays are open; after a refusal, how many were."""
        return len(self._machine.stack)


def _run(machine: Machine, text: str) -> list[Op]:
    ops: list[Op] = []
    machine.ops = ops
    at, end = 0, len(text)
    while at < end:
        at = _HANDLERS[machine.state](machine, text, at)
    if machine.string_open:
        machine.flush()
    machine.offset += end
    return ops
