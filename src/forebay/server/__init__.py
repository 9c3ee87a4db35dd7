"""The HTTP API: everything that clients see of Forebay, and what it costs to be hostile to it."""
