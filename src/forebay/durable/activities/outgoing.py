"""Events that activities raise with their results."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import msgspec

from forebay.database.transaction import Transaction
from forebay.durable.journal import journal
from forebay.durable.journal.journal import Fact

log = logging.getLogger(__name__)


class Message(msgspec.Struct, frozen=True, gc=False):
    """An event on its way to an instance."""

    instance_id: str
    name: str
    data_json: str


def send_all(tx: Transaction, messages: Iterable[Message]) -> list[int]:
    """Leave events for instances to read; the keys of those that have to be woken."""
    keys = []
    for message in messages:
        row = journal.load_instance(tx.connection, message.instance_id)
        if row is None or row.is_over:
            state = "does not exist" if row is None else f"has ended ({row.status})"
            log.warning("event %r goes nowhere: instance %r %s", message.name, message.instance_id, state)
            continue
        at = max(tx.now_us, row.created_at)
        journal.send_message(tx, row.key, Fact("event", -1, message.name, "", 1, at, at, message.data_json))
        keys.append(row.key)
    return keys
