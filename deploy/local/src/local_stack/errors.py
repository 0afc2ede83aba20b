"""What a person is told when the stack cannot start or go on."""


class StackError(Exception):
    """A sentence for the person at the terminal: what is wrong and what to do about it."""
