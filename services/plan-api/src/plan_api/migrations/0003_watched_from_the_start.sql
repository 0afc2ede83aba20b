-- Whether a plan was started by a stream: then it had a viewer, also when that one has left before a generator knew it.

ALTER TABLE plan_api.generations ADD COLUMN watched boolean NOT NULL DEFAULT false;
