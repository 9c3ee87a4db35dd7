"""What an orchestrator is: a generator that yields tasks, and what drives it. Nothing here knows storage, clocks or event loops."""
