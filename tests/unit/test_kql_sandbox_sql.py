"""The check of SQL by itself, whatever made it."""

from __future__ import annotations

import duckdb
import pytest

from forebay.errors import ForebayError
from forebay.telemetry.kql.sandbox import check_sql
from forebay.telemetry.tables import queryable

TABLES = frozenset(queryable())

FORBIDDEN_SQL = [
    "SELECT * FROM store.requests",
    "SELECT * FROM main.requests",
    "SELECT * FROM t.store.requests",
    "SELECT * FROM duckdb_tables",
    "SELECT * FROM duckdb_settings()",
    "SELECT * FROM pragma_database_list",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM glob('/*')",
    "SELECT * FROM query('SELECT 1')",
    "SELECT * FROM query_table('requests')",
    "SELECT current_setting('memory_limit')",
    "SELECT getvariable('x')",
    "SELECT version()",
    "SELECT current_database()",
    "SELECT getenv('HOME')",
    "SELECT * FROM read_blob('/proc/self/environ')",
    "SELECT * FROM sqlite_scan('catalog.db', 'api_keys')",
    "SELECT * FROM duckdb_secrets()",
    "SELECT nextval('x')",
    "SELECT random()",
    "SELECT now()",
    "SELECT (SELECT count(*) FROM store.requests)",
    "SELECT * FROM requests WHERE EXISTS (SELECT 1 FROM duckdb_tables)",
    "SELECT * FROM requests JOIN store.traces ON true",
    "SELECT * FROM requests UNION ALL SELECT * FROM store.requests",
    "WITH x AS (SELECT * FROM store.requests) SELECT * FROM x",
    "WITH duckdb_tables AS (SELECT 1) SELECT * FROM (SELECT * FROM duckdb_views)",
    "SELECT * FROM (WITH sqlite_master AS (SELECT 1) SELECT * FROM sqlite_master) JOIN sqlite_master ON true",
    "SELECT list_transform([1], lambda x: (SELECT count(*) FROM store.requests))",
    "SELECT sum(x) FILTER (WHERE (SELECT true FROM store.requests)) FROM (SELECT 1 AS x)",
    "SELECT row_number() OVER (ORDER BY (SELECT 1 FROM store.requests))",
    "SELECT * FROM requests ORDER BY getenv('HOME')",
    "SELECT * FROM requests LIMIT (SELECT count(*) FROM store.requests)",
    "SELECT * FROM (DESCRIBE store.requests)",
    "SELECT * FROM (SHOW ALL TABLES)",
    "SELECT * FROM (SUMMARIZE store.requests)",
    "SELECT * FROM (VALUES ((SELECT count(*) FROM store.requests)))",
    "SELECT * FROM unnest((SELECT list(name) FROM store.requests))",
    "PIVOT store.requests ON name",
    "FROM store.requests",
    "SELECT 1; SELECT 2",
    "DROP SCHEMA store CASCADE",
    "INSERT INTO store.requests SELECT 1",
    "COPY (SELECT 1) TO '/tmp/x'",
    "ATTACH '/tmp/x'",
    "SET threads = 1",
    "PRAGMA database_list",
    "EXPLAIN SELECT 1",
    "CALL pragma_version()",
    "EXECUTE x",
    "",
]


@pytest.mark.parametrize("sql", FORBIDDEN_SQL)
def test_the_check_of_the_sql_refuses_by_itself(sql: str):
    with duckdb.connect() as parser, pytest.raises(ForebayError) as caught:
        check_sql(sql, TABLES, parser)
    assert caught.value.code in {"query_forbidden", "query_unsupported"}


def test_the_check_of_the_sql_says_which_tables_are_read():
    both = "WITH a AS (SELECT * FROM requests), b AS (SELECT * FROM a JOIN traces USING (name))"
    sql = f"{both} SELECT count(*) FROM b, unnest([1]) WHERE 1 IN (SELECT 1)"
    with duckdb.connect() as parser:
        assert check_sql(sql, TABLES, parser) == {"requests", "traces"}
