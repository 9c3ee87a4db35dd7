"""From what senders say to rows of the tables, one wire format a file."""
