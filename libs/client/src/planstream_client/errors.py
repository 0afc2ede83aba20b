"""What can go wrong, in two kinds: the server has said no, or nobody has said anything."""


class PlanstreamError(Exception):
    """Either of them."""


class RefusedError(PlanstreamError):
    """The server's answer was a problem document (RFC 9457).

    Attributes:
        code: stable, of the list in docs/protocol.md.
        status: of HTTP.
        detail: a sentence for people.
        retry_after: seconds, where the server says when to come again.
    """

    def __init__(self, code: str, status: int, detail: str, retry_after: float | None = None) -> None:
        super().__init__(f"{detail} ({code})")
        self.code = code
        self.status = status
        self.detail = detail
        self.retry_after = retry_after

    @property
    def passes(self) -> bool:
        """Whether the same request may succeed later."""
        return self.status == 429 or self.status >= 500


class UnreachableError(PlanstreamError):
    """Nobody answered, after all tries."""
