"""The telemetry log: what is in it is acknowledged, and stays until it is in the tables."""
