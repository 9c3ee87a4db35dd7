"""How a file becomes an arrival."""
