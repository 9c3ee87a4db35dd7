"""From bytes to searchable chunks: validate, read text, chunk, embed, persist. One stage a file."""
