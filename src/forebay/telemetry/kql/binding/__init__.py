"""From the syntax tree to the bound tree: every name resolved, every type known."""
