"""API keys: who calls, and what that may do."""
