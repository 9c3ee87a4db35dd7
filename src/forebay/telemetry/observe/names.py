"""What the platform says of itself, by name: documentation that docs/telemetry.md shows and tests hold against what is sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """An event, a metric, a kind of call, or a line."""

    name: str
    meaning: str
    dimensions: Mapping[str, str] = field(default_factory=dict)  # in customDimensions: name -> meaning
    measurements: Mapping[str, str] = field(default_factory=dict)  # in customMeasurements: name -> meaning


_KEY = {"key_id": "The key's id.", "key_name": "Its name.", "actor": "Who changed it."}
_ACTIVITY = {
    "instance_id": "The orchestration.",
    "activity": "The activity's name.",
    "attempt": "Which try, from 1.",
    "task": "Which call of the orchestration, from 0.",
}

EVENTS: tuple[Name, ...] = (
    Name(name="application_started", meaning="The program is ready.", measurements={"startup_milliseconds": "How long that took."}),
    Name(
        name="application_stopped",
        meaning="The program has ended.",
        dimensions={"reason": "The signal, the error, or `closed`."},
        measurements={"uptime_seconds": "Since it was ready."},
    ),
    Name(
        name="rate_limit_exceeded",
        meaning="Requests were refused for the rate of their key: one event for each key and second.",
        dimensions={"key": "Whose key.", "path": "What was asked for first.", "method": "How.", "client_ip": "By whom."},
        measurements={"count": "Refused requests.", "expires_in_seconds": "When to try again."},
    ),
    Name(
        name="replay_diverged",
        meaning="An orchestration that had ended, replayed for comparison, did something else: its code is not deterministic.",
        dimensions={
            "instance_id": "The orchestration.",
            "orchestrator": "Its name.",
            "recorded": "What the journal has.",
            "scheduled": "What the replayed code did in its place.",
            "message": "Both in one sentence.",
        },
    ),
    Name(name="key_created", meaning="An API key was made.", dimensions={**_KEY, "scopes": "What it may do."}),
    Name(name="key_rotated", meaning="An API key was replaced.", dimensions={**_KEY, "replaced_by": "The new key's id."}),
    Name(name="key_revoked", meaning="An API key opens nothing any more.", dimensions=_KEY),
)

# those that come for each of something have a row each, all others a row a minute for each series, or one each time they are read
METRICS: tuple[Name, ...] = (
    Name(
        name="ProcessingDuration",
        meaning="From the start of an arrival's orchestration to its end, in milliseconds: a row for each.",
        dimensions={"document_id": "The document.", "orchestration_id": "The orchestration.", "outcome": "How the arrival ended."},
    ),
    Name(
        name="end_to_end_latency",
        meaning="From the recording of an arrival to its end, in milliseconds; for indexed ones, until it is found by searches.",
        dimensions={"outcome": "How the arrivals ended."},
    ),
    Name(name="application_startup_time", meaning="From the beginning of the start until the program was ready, in milliseconds."),
    Name(
        name="http_request_duration",
        meaning="Of answers, in milliseconds.",
        dimensions={"request": "Method and route.", "status": "The status."},
    ),
    Name(
        name="activity_duration",
        meaning="Of tries of an activity, in milliseconds.",
        dimensions={"activity": "Its name.", "success": "`True` or `False`."},
    ),
    Name(
        name="activity_success_rate",
        meaning="Which share of the tries of an activity succeeded; its `value` is the mean.",
        dimensions={"activity": "Its name."},
    ),
    Name(name="embedder_texts_per_second", meaning="Texts of a call to a model by its duration; its `value` is the mean."),
    Name(name="database_commits", meaning="Commits of the catalog and the journal since the last reading."),
    Name(name="database_commit_duration", meaning="Of these commits, in milliseconds."),
    Name(
        name="queue_depth",
        meaning="What waits, or is in work, at the moment of reading.",
        dimensions={
            "queue": "`writer.journal`, `writer.bulk`, `arrivals` (in flight), `instances` (live), `room.<activity>` (calls that wait)."
        },
    ),
    Name(name="telemetry_log_bytes", meaning="What the telemetry log holds on disk."),
    Name(name="telemetry_dropped", meaning="Rows about the platform that were not kept since the last report: the log refused them."),
)
MEANS = frozenset({"activity_success_rate", "embedder_texts_per_second"})  # whose `value` is the mean, not the sum

DEPENDENCIES: tuple[Name, ...] = (
    Name(
        name="activity",
        meaning="A try of an activity; `target` is the instance, `name` the activity, `resultCode` the code of its error.",
        dimensions={**_ACTIVITY, "message": "What the error said."},
    ),
    Name(
        name="model",
        meaning="A call of an embedder; `target` is the id of the model.",
        measurements={
            "texts": "How many were embedded.",
            "tokens": "As the server counts them.",
            "usd": "What they cost, where a price is set.",
        },
    ),
    Name(
        name="storage",
        meaning="Reading, moving or deleting a file or blob; `target` is its container or folder.",
        dimensions={"name": "Of the file."},
        measurements={"bytes": "How many were read."},
    ),
)

LINES: tuple[Name, ...] = (
    Name(name="activity started", meaning="A try of an activity begins.", dimensions=_ACTIVITY),
    Name(
        name="activity progress",
        meaning="Part of the work on a large document is done.",
        dimensions={**_ACTIVITY, "step": "What is done.", "chunks": "How many chunks that concerns."},
    ),
    Name(name="activity completed", meaning="A try of an activity has succeeded.", dimensions=_ACTIVITY),
    Name(name="activity failed", meaning="A try of an activity has failed.", dimensions={**_ACTIVITY, "code": "Of the error."}),
    Name(
        name="Ingestion started orchestration id=<id> for <name>",
        meaning="The orchestration of an arrival has been started.",
        dimensions={"orchestration_id": "The orchestration.", "document_id": "The document.", "name": "Its name."},
    ),
)

COUNTERS: tuple[Name, ...] = (
    Name(name="% Processor Time", meaning="Of the process tree since the last reading; 100 for each processor that was busy."),
    Name(name="Private Bytes", meaning="Memory of the process tree, as the sum of what is resident."),
    Name(name="Free Megabytes", meaning="On the disk of the data directory."),
)
