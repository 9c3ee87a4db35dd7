"""Instances in memory: brought to life, moved on, parked, and changed from outside."""
