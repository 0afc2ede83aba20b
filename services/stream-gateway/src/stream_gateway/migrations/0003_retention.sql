-- What retention looks for, by age.
CREATE INDEX plan_streams_by_age ON stream_gateway.plan_streams (created_at);
CREATE INDEX stream_sessions_by_age ON stream_gateway.stream_sessions (opened_at);
CREATE INDEX cancel_requests_by_age ON stream_gateway.cancel_requests (requested_at);
