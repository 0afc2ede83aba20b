-- What retention looks for: few rows, since most are never erased.
CREATE INDEX monthly_plans_erased ON generator.monthly_plans (deleted_at) WHERE deleted_at IS NOT NULL;
