-- A cancellation is held by the gateway that works on it, which says so every few seconds; one that nobody holds any
-- longer is taken up by any gateway.
ALTER TABLE stream_gateway.cancel_requests
    ADD COLUMN held_until timestamptz NOT NULL DEFAULT now() + interval '10 seconds';

CREATE INDEX cancel_requests_open ON stream_gateway.cancel_requests (held_until) WHERE answered_at IS NULL;
