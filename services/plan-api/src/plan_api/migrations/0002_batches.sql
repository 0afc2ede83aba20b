-- Plans that were asked for together. `items` holds what became of each preferenceId, in the order of the request.

CREATE TABLE plan_api.batches (
    batch_id   uuid        PRIMARY KEY,
    user_id    uuid        NOT NULL,
    items      jsonb       NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX batches_by_age ON plan_api.batches (created_at);
