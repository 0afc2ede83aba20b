-- Retention closes the oldest months first, some at a time.
CREATE INDEX quota_accounts_by_month ON plan_api.quota_accounts (period);
