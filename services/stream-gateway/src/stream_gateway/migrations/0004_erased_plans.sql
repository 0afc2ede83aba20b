-- Which plans were deleted lately. Gateways write behind, each for itself: what one of them says late must not bring back
-- what another has erased.
CREATE TABLE stream_gateway.erased_plans (
    plan_id   uuid PRIMARY KEY,
    erased_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX erased_plans_by_age ON stream_gateway.erased_plans (erased_at);
