from __future__ import annotations

import asyncio
import threading
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from tests.integration.collected_rows import CollectingLog

from forebay.durable.activities.spans import AttemptSpans
from forebay.effects import real_effects
from forebay.errors import ForebayError
from forebay.server.observed import shown_url
from forebay.telemetry.observe import recorder as recorder_module
from forebay.telemetry.observe.log_lines import severity_of
from forebay.telemetry.observe.observation import Observation
from forebay.telemetry.observe.recorder import FLUSH_ROWS, Identity, Recorder, performance_bucket
from forebay.telemetry.observe.sampling import HELD_ROWS, REMEMBERED_TRACES, Sampler, sample_score
from forebay.telemetry.observe.spans import RecordingTracer
from forebay.telemetry.observe.stacks import exception_columns
from forebay.telemetry.observe.summaries import SERIES_LIMIT, Summaries
from forebay.values.correlation import Correlation, correlate

IDENTITY = Identity(role_name="r", role_instance="i", environment="e", version="v")


def _recorder(log: CollectingLog, ratio: float = 1.0) -> Recorder:
    effects = real_effects(thread_count=1)
    return Recorder(log, identity=IDENTITY, default_project="d", clock=effects.clock, random=effects.random, sampling_ratio=ratio)


def _tracer(recorder: Recorder) -> RecordingTracer:
    return RecordingTracer(recorder, Summaries(), real_effects(thread_count=1).clock)


def _djb2(text: str) -> float:
    """As Application Insights' samplers compute it, with the wrap-around of 32-bit integers step by step."""
    value = 5381
    for character in text:
        value = (((value << 5) & 0xFFFFFFFF) + value + ord(character)) & 0xFFFFFFFF
    signed = value - 2**32 if value >= 2**31 else value
    return 1.0 if signed == -(2**31) else abs(signed) / (2**31 - 1)


@given(st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), max_size=128))
def test_the_score_of_an_operation_is_that_of_application_insights(operation_id: str) -> None:
    assert sample_score(operation_id) == pytest.approx(_djb2(operation_id)) and 0 <= sample_score(operation_id) <= 1


@given(
    st.floats(0.01, 0.99), st.lists(st.tuples(st.integers(0, 20).map(lambda number: f"operation-{number}"), st.booleans()), max_size=200)
)
def test_of_an_operation_all_is_kept_or_nothing_and_of_a_failed_one_all(ratio: float, rows: list[tuple[str, bool]]) -> None:
    sampler: Sampler[tuple[str, int]] = Sampler(ratio)
    kept: list[tuple[str, int]] = []
    for number, (operation, is_failure) in enumerate(rows):
        item = operation, number
        kept += [item] if sampler.is_kept(operation) else sampler.rescued(operation, item, is_failure=is_failure)
    came, left = Counter(operation for operation, _ in rows), Counter(operation for operation, _ in kept)
    assert len(set(kept)) == len(kept)
    for operation in came:
        must_stay = sample_score(operation) < ratio or (operation, True) in rows
        assert left[operation] == (came[operation] if must_stay else 0)


def test_what_is_held_back_for_operations_that_may_fail_yet_is_bounded() -> None:
    sampler: Sampler[int] = Sampler(0.0)
    for number in range(HELD_ROWS + 5):
        assert sampler.rescued(f"operation-{number % 10}", number, is_failure=False) == []
    held = sum(len(sampler.rescued(f"operation-{number}", -1, is_failure=True)) - 1 for number in range(10))
    assert 0 < held <= HELD_ROWS
    for number in range(REMEMBERED_TRACES + 5):
        sampler.rescued(f"other-{number}", number, is_failure=False)
    assert len(sampler.rescued("other-0", -1, is_failure=True)) == 1, "the oldest has been forgotten"


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50))
def test_a_summary_has_the_moments_of_its_values(values: list[float]) -> None:
    summaries = Summaries()
    for value in values:
        summaries.add("m", value, (("a", "b"),), project="p")
    ((key, summary),) = summaries.take().items()
    columns, mean = summary.columns(), sum(values) / len(values)
    assert key == ("p", "m", (("a", "b"),)) and not summaries.take()
    assert (columns["valueCount"], columns["valueMin"], columns["valueMax"]) == (len(values), min(values), max(values))
    assert columns["value"] == columns["valueSum"] == pytest.approx(sum(values), abs=1e-3)
    deviation = (sum((value - mean) ** 2 for value in values) / len(values)) ** 0.5
    assert columns["valueStdDev"] == pytest.approx(deviation, rel=1e-3, abs=2.0)


def test_more_series_than_are_kept_are_counted_together() -> None:
    summaries = Summaries()
    for number in range(SERIES_LIMIT + 10):
        summaries.add("m", 1.0, (("series", str(number)),))
    taken = summaries.take()
    assert len(taken) == SERIES_LIMIT + 1 and taken[None, "m", ()].count == 10


@pytest.mark.parametrize(
    ("milliseconds", "bucket"), [(0, "<250ms"), (249.9, "<250ms"), (250, "250ms-500ms"), (6999, "3sec-7sec"), (300_000, ">=5min")]
)
def test_durations_fall_in_the_ranges_of_application_insights(milliseconds: float, bucket: str) -> None:
    assert performance_bucket(milliseconds) == bucket


def test_levels_become_severities() -> None:
    assert [severity_of(level) for level in (0, 10, 20, 30, 40, 50, 60)] == [0, 0, 1, 2, 3, 4, 4]


def test_an_error_is_told_with_those_that_caused_it() -> None:
    def inner() -> None:
        raise KeyError("innermost")

    def outer() -> None:
        try:
            inner()
        except KeyError as error:
            raise RuntimeError("outermost") from error

    with pytest.raises(RuntimeError) as caught:
        outer()
    columns = exception_columns(caught.value)
    assert (columns["type"], columns["outerMessage"], columns["innermostType"]) == ("RuntimeError", "outermost", "KeyError")
    assert columns["method"] == "outer" and columns["innermostMethod"] == "inner" and columns["assembly"] == "test_observe"
    assert [(each["id"], each["outerId"], each["type"]) for each in columns["details"]] == [
        ("1", "0", "RuntimeError"),
        ("2", "1", "KeyError"),
    ]
    assert columns["details"][1]["parsedStack"][0]["method"] == "inner"


def test_an_error_whose_text_cannot_be_made_is_told_all_the_same() -> None:
    class Unspeakable(Exception):
        def __str__(self) -> str:
            raise ValueError

    assert exception_columns(Unspeakable())["message"] == ""
    assert exception_columns(OSError("a\udcffb"))["message"] == "a\\udcffb"


async def test_rows_go_to_the_log_by_project_and_kind_and_names_that_are_no_text_do_not_stop_them() -> None:
    log = CollectingLog()
    recorder = _recorder(log)
    recorder.add("traces", {"message": "a"}, project="one")
    recorder.add("exceptions", {"message": "b"}, project="one")
    recorder.add("traces", {"message": "c \udcff", "customDimensions": {"\udcfe": ["\udcfd"]}}, project="two")
    recorder.add("dependencies", {"name": "d"})
    await recorder.flush()
    found = [(entry.topic, entry.headers["project"], entry.headers["source"], entry.record_count) for entry in log.entries]
    assert found == [
        ("logs.raw", "one", "platform", 2),
        ("logs.raw", "two", "platform", 1),
        ("traces.raw", "d", "platform", 1),
    ]
    (row,) = log.rows(message="c \\udcff")
    assert row["customDimensions"] == {"\\udcfe": ["\\udcfd"]}
    assert (row["cloud_RoleName"], row["cloud_RoleInstance"], row["environment"], row["sdkVersion"]) == ("r", "i", "e", "forebay:v")


async def test_rows_beyond_the_bound_are_counted_and_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "QUEUE_LIMIT_ROWS", 3)
    log = CollectingLog()
    recorder = _recorder(log)
    for number in range(5):
        recorder.add("traces", {"message": str(number)})
    await recorder.flush()
    assert [row["message"] for row in log.rows("traces")] == ["0", "1", "2"] and recorder.dropped_count == 2
    assert [row["value"] for row in log.rows("customMetrics", name="telemetry_dropped")] == [2]


async def test_what_was_dropped_is_told_once_and_only_when_the_log_takes_rows_again() -> None:
    log = CollectingLog()
    recorder = _recorder(log)
    log.refuses = True
    for number in range(3):  # longer than one report
        recorder.add("traces", {"message": str(number)})
        await recorder.flush()
    log.refuses = False
    for _ in range(2):
        await recorder.flush()
    (told,) = log.rows()
    assert (told["table"], told["name"], told["value"], told["valueCount"]) == ("customMetrics", "telemetry_dropped", 3, 1)
    assert (told["itemType"], told["itemCount"], told["cloud_RoleName"], bool(told["itemId"])) == ("customMetric", 1, "r", True)
    assert recorder.dropped_count == 3


async def test_rows_from_threads_arrive_each_once_and_enough_of_them_do_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "FLUSH_SECONDS", 3600)
    log = CollectingLog()
    recorder = _recorder(log)
    threads = [
        threading.Thread(target=lambda first=first: [recorder.add("traces", {"message": str(first + n)}) for n in range(FLUSH_ROWS)])  # type: ignore[misc]
        for first in (0, FLUSH_ROWS, 2 * FLUSH_ROWS)
    ]
    for thread in threads:
        thread.start()
    async with asyncio.timeout(20):
        await recorder.until_due()
    while any(thread.is_alive() for thread in threads):
        await recorder.flush()
    await recorder.flush()
    assert sorted(int(row["message"]) for row in log.rows()) == list(range(3 * FLUSH_ROWS))


async def test_spans_become_rows_with_their_attributes_events_and_errors() -> None:
    log = CollectingLog()
    recorder = _recorder(log)
    tracer = _tracer(recorder)
    correlate(Correlation(id="op", project="p"))
    with tracer.start_as_current_span(
        "outer", attributes={"type": "custom", "target": "t", "text": "x", "flag": True, "count": 3}
    ) as outer:
        outer.add_event("half way", {"severity": 3, "step": 1})
        with pytest.raises(ValueError, match="broken"), tracer.start_as_current_span("inner"):
            raise ValueError("broken")
        assert trace.get_current_span() is outer
    outer.set_attribute("late", "ignored")
    await recorder.flush()
    inner_row, outer_row = log.rows("dependencies", name="inner")[0], log.rows("dependencies", name="outer")[0]
    assert (outer_row["type"], outer_row["target"], outer_row["success"], outer_row["resultCode"]) == ("custom", "t", "True", "0")
    assert outer_row["customDimensions"] == {"text": "x", "flag": "True"} and outer_row["customMeasurements"] == {"count": 3}
    assert (inner_row["success"], inner_row["resultCode"], inner_row["operation_ParentId"]) == ("False", "error", outer_row["id"])
    assert inner_row["customDimensions"] == {"message": "broken"}
    (line,), (error,) = log.rows("traces"), log.rows("exceptions")
    assert (line["message"], line["severityLevel"], line["operation_ParentId"]) == ("half way", 3, outer_row["id"])
    assert line["customDimensions"] == {"text": "x", "flag": "True", "step": "1"}
    assert error["operation_ParentId"] == inner_row["id"] and error["type"] == "ValueError"
    assert {(row["operation_Id"], row["project"]) for row in log.rows()} == {("op", "p")}


async def test_a_span_has_no_parent_in_another_operation_or_program() -> None:
    one, other = CollectingLog(), CollectingLog()
    mine, theirs = _recorder(one), _recorder(other)
    correlate(Correlation(id="first"))
    with _tracer(mine).start_as_current_span("around"):
        correlate(Correlation(id="second"))
        _tracer(mine).start_span("of another operation").end()
        correlate(None)
        _tracer(theirs).start_span("of another program").end()
        _tracer(mine).start_span("inherits").end()
    await mine.flush()
    await theirs.flush()
    assert one.rows(name="of another operation")[0]["operation_Id"] == "second"
    assert one.rows(name="of another operation")[0].get("operation_ParentId") is None
    assert other.rows(name="of another program")[0].get("operation_ParentId") is None
    assert one.rows(name="inherits")[0]["operation_Id"] == "first"


@pytest.mark.parametrize(
    ("operation_id", "trace_id"), [("4bf92f3577b34da6a3ce929d0e0e4736", 0x4BF92F3577B34DA6A3CE929D0E0E4736), ("mine", None)]
)
async def test_the_w3c_identity_of_a_span_is_that_of_its_operation(operation_id: str, trace_id: int | None) -> None:
    correlate(Correlation(id=operation_id))
    tracer = _tracer(_recorder(CollectingLog()))
    one, two = tracer.start_span("a").get_span_context(), tracer.start_span("b").get_span_context()
    assert one.is_valid and one.trace_id == two.trace_id and one.span_id != two.span_id
    assert trace_id is None or one.trace_id == trace_id


def test_tries_of_activities_are_spans_for_any_tracer_of_opentelemetry() -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    spans = AttemptSpans(provider.get_tracer("test"))
    with spans.attempt("read", "instance-1", 2, 1):
        assert trace.get_current_span().is_recording()
    with pytest.raises(ForebayError), spans.attempt("read", "instance-1", 2, 2):
        raise ForebayError("gone", "it is gone")
    with pytest.raises(ZeroDivisionError), spans.attempt("read", "instance-1", 2, 3):
        raise ZeroDivisionError
    good, bad, worse = exporter.get_finished_spans()
    attributes: dict[str, Any] = dict(good.attributes or {})
    assert good.name == "read" and attributes["attempt"] == "1" and attributes["instance_id"] == "instance-1"
    assert [event.name for event in good.events] == ["activity started", "activity completed"]
    assert bad.status.status_code is StatusCode.ERROR and dict(bad.attributes or {})["error.type"] == "gone"
    assert [event.name for event in worse.events] == ["activity started", "exception", "activity failed"]


def test_an_observation_that_is_off_takes_everything_and_keeps_nothing() -> None:
    off = Observation()
    off.event("e")
    off.repeated_event("e", "key", {})
    off.measurement("m", 1.0)
    off.summarize("m", 1.0)
    off.line("l")
    off.error(ValueError())
    off.started(1.0)
    off.stopped("closed")
    off.report()
    off.report_repeated()
    assert not off.is_on and off.dropped_count == 0
    assert not off.tracer.start_span("s").is_recording()


async def test_a_metric_that_is_a_mean_says_so_in_its_value() -> None:
    log = CollectingLog()
    recorder = _recorder(log)
    observation = Observation(recorder, real_effects(thread_count=1).clock)
    for value in (0.0, 1.0, 1.0, 1.0):
        observation.summarize("embedder_texts_per_second", value)
        observation.summarize("http_request_duration", value)
    observation.report()
    await recorder.flush()
    values = {row["name"]: (row["value"], row["valueSum"], row["valueCount"]) for row in log.rows("customMetrics")}
    assert values == {"embedder_texts_per_second": (0.75, 3.0, 4), "http_request_duration": (3.0, 3.0, 4)}


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        (b"", "/p"),
        (b"name=a%20b&limit=3", "/p?name=a+b&limit=3"),
        (b"CODE=s3cret&x-functions-key=s3cret&sig=s3cret&access_token=s3cret&password=s3cret&name=n", None),
        (b"client_secret=s3cret&Authorization=s3cret&apikey=s3cret", None),
        (b"name=\xff&code=s3cret", None),
        (b"limit=1&cursor=s3cret", "/p?limit=1&cursor=***"),  # a name in another form
    ],
)
def test_a_url_is_shown_without_what_looks_like_a_secret(query: bytes, shown: str | None) -> None:
    found = shown_url({"type": "http", "path": "/p", "query_string": query})
    assert "s3cret" not in found and (shown is None or found == shown)


async def test_times_are_written_as_the_tables_take_them() -> None:
    log = CollectingLog()
    recorder = _recorder(log)
    recorder.add("traces", {"message": "m"})
    await recorder.flush()
    (row,) = log.rows()
    at = datetime.fromisoformat(row["timestamp"])
    assert at.tzinfo is None and abs((datetime.now(UTC).replace(tzinfo=None) - at).total_seconds()) < 60
