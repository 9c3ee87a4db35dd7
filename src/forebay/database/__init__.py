"""The SQLite file: one writer with group commit, read-only readers, migrations."""

from forebay.database.database import Database, open_database
from forebay.database.migrations import Migration, migrate
from forebay.database.readers import Readers
from forebay.database.transaction import Transaction
from forebay.database.writer import Writer

__all__ = ["Database", "Migration", "Readers", "Transaction", "Writer", "migrate", "open_database"]
