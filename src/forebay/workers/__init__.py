"""Supervised child processes: what whoever gives them work, and the processes themselves, have in common."""
