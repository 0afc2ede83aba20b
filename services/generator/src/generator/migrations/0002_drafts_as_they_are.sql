-- A draft is written again with every save and read once, if at all: compressing it (pglz, 130 µs for 6,000 characters)
-- costs three times what writing it does. Expands only: rows as they are stay readable.

ALTER TABLE generator.monthly_plans ALTER COLUMN partial_content SET STORAGE EXTERNAL;
