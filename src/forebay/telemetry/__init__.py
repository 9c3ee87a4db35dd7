"""Logs, metrics and traces: durable when acknowledged, then tables that answer KQL."""
