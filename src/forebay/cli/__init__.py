"""The command line: one noun a file, every data command a client of the HTTP API."""
