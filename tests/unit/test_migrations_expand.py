"""Migrations expand before they contract: the release before runs on the newer schema, because nothing it uses is gone.

What contracts waits one release, and stands in a file whose first line says so: `-- contract: <release that no longer
uses it>`. Then the release before no longer reads or writes what goes.
"""

import re
from importlib.resources import files

import pytest

from common.migrations import Migration, read_migrations

SERVICES = ("plan_api", "generator", "stream_gateway")
MIGRATIONS = [
    pytest.param(service, migration, id=f"{service}-{migration.name}")
    for service in SERVICES
    for migration in read_migrations(files(service) / "migrations")
]
# What an older process would stumble over, and what stops its work for as long as a table is rewritten or read through.
CONTRACTS = {
    "drops what may be in use": r"\bDROP\s+(TABLE|COLUMN|VIEW|SCHEMA|SEQUENCE|DEFAULT|NOT NULL|INDEX)\b",
    "renames": r"\bRENAME\b",
    "changes a type, which rewrites the table": r"\bALTER\s+(COLUMN\s+)?\w+\s+(SET\s+DATA\s+)?TYPE\b",
    "asks for a value that older writers do not give": r"\bSET\s+NOT\s+NULL\b",
    "adds a column that older writers do not fill": r"\bADD\s+(COLUMN\s+)?(IF\s+NOT\s+EXISTS\s+)?"
    r"(?!CONSTRAINT|CHECK|FOREIGN|UNIQUE|PRIMARY)\w+\s[^,;]*\bNOT\s+NULL(?![^,;]*\bDEFAULT\b)(?<!DEFAULT)",
    "adds a rule that rows of older writers may break": r"\bADD\s+(CONSTRAINT|CHECK|FOREIGN|UNIQUE|PRIMARY)\b",
    "makes what is written now unique": r"\bCREATE\s+UNIQUE\s+INDEX\b",
    "is made outside of the transaction": r"\bCONCURRENTLY\b",
    "changes rows of a size that nobody knows": r"(?m)^\s*(UPDATE|DELETE)\b",
    "gives or takes rights, which the runner does": r"\b(GRANT|REVOKE)\b",
}


def statements(sql: str) -> list[str]:
    """The statements, without comments."""
    return [each.strip() for each in re.sub(r"--[^\n]*", "", sql).split(";") if each.strip()]


def contracting(sql: str) -> list[str]:
    """What each statement does that an older process would not bear. A table's own first statement may do anything."""
    made = set(re.findall(r"(?i)CREATE TABLE (\S+)", sql))
    found = []
    for each in statements(sql):
        about = re.match(r"(?is)(?:ALTER TABLE|CREATE UNIQUE INDEX \S+ ON|UPDATE|DELETE FROM)\s+(\S+)", each)
        if re.match(r"(?i)CREATE TABLE\b", each) or (about and about[1] in made):
            continue
        bare = re.sub(r"'[^']*'", "''", each)
        if re.search(r"(?i)\bADD\b", bare) and re.search(r"(?i)\bDEFAULT\b", bare):
            bare = re.sub(r"(?i)\bNOT\s+NULL\b", "", bare)
        found += [why for why, pattern in CONTRACTS.items() if re.search(pattern, bare, re.IGNORECASE)]
    return found


@pytest.mark.parametrize(("service", "migration"), MIGRATIONS)
def test_a_migration_expands_or_says_that_it_contracts(service: str, migration: Migration) -> None:
    """And stays within its own schema."""
    if not re.match(r"-- contract: \d+\.\d+", migration.sql):
        assert contracting(migration.sql) == []
    others = "|".join(name for name in SERVICES if name != service)
    assert not re.search(rf"\b({others})\.", migration.sql)


@pytest.mark.parametrize("service", SERVICES)
def test_the_numbers_have_no_gap(service: str) -> None:
    """Two branches with the same number would otherwise be seen at a deployment."""
    versions = [migration.version for migration in read_migrations(files(service) / "migrations")]
    assert versions == list(range(1, len(versions) + 1))


@pytest.mark.parametrize(
    ("sql", "faults"),
    [
        ("ALTER TABLE a.t DROP COLUMN x;", 1),
        ("ALTER TABLE a.t RENAME COLUMN x TO y;", 1),
        ("ALTER TABLE a.t ALTER COLUMN x TYPE bigint;", 1),
        ("ALTER TABLE a.t ALTER COLUMN x SET NOT NULL;", 1),
        ("ALTER TABLE a.t ADD COLUMN x int NOT NULL;", 1),
        ("ALTER TABLE a.t ADD CONSTRAINT c CHECK (x > 0);", 1),
        ("CREATE UNIQUE INDEX i ON a.t (x);", 1),
        ("UPDATE a.t SET x = 1;", 1),
        ("DROP TABLE a.t;", 1),
        ("ALTER TABLE a.t ADD COLUMN x int NOT NULL DEFAULT 0;", 0),
        ("ALTER TABLE a.t ADD COLUMN x int;", 0),
        ("ALTER TABLE a.t DROP CONSTRAINT c;", 0),
        ("CREATE INDEX i ON a.t (x);", 0),
        ("-- RENAME is only a word here\nCREATE TABLE a.t (x int NOT NULL); ALTER TABLE a.t ADD CHECK (x > 0);", 0),
    ],
)
def test_the_rule_sees_what_it_is_for(sql: str, faults: int) -> None:
    """Each kind of contraction, and what only looks like one."""
    assert len(contracting(sql)) == faults
