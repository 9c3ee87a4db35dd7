"""The program without its durability: shows that the test which watches the disk can fail."""

from functools import partial

import forebay.app.adapters
from forebay.cli.main import main
from forebay.database import open_database

forebay.app.adapters.open_database = partial(open_database, synchronous="OFF")  # type: ignore[assignment]
main()
