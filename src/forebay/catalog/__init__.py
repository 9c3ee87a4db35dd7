"""Documents, versions, chunks, vectors, arrivals, and the append-only history of events."""
