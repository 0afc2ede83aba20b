-- Inputs may go before the last trace of a plan that was made of them: each plan has a copy of its own while it is seen.
ALTER TABLE plan_api.generations DROP CONSTRAINT generations_preference_id_fkey;

CREATE INDEX generations_by_end ON plan_api.generations (ended_at) WHERE deleted_at IS NULL AND ended_at IS NOT NULL;
CREATE INDEX generations_of_account ON plan_api.generations (user_id, period);
CREATE INDEX user_goals_and_preferences_by_age ON plan_api.user_goals_and_preferences (created_at);
