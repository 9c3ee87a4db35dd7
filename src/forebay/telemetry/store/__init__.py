"""The tables: a DuckDB file that batches of the telemetry log go into, each record exactly once."""
