"""A compiler from KQL to the SQL of DuckDB: `syntax` reads, `binding` understands, `functions` knows, `sql` writes.

It stands alone: it is given a text and the tables that may be read, and answers SQL.
"""
