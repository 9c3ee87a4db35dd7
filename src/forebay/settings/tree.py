"""The tree of settings, with default, unit and meaning of each."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from forebay.settings.leaf import METADATA_KEY, Leaf, setting
from forebay.settings.parsers import Secret, container, flag, matching, number, one_of, path, secret, service_url, url, whole

# exact, so that `secrets.py` is indexed
SECRET_PATTERNS = (".git/", ".env*", "*.pem", "*.key", "id_rsa*", ".netrc", "credentials.json", ".aws/", ".ssh/")
# what tools leave behind, by names that nobody gives to anything else: `venv/` may be a package
NOISE_PATTERNS = (
    ".hg/",
    ".svn/",
    "node_modules/",
    ".venv/",
    "__pycache__/",
    "*.pyc",
    ".mypy_cache/",
    ".pytest_cache/",
    ".ruff_cache/",
    ".hypothesis/",
    ".tox/",
    ".DS_Store",
    "Thumbs.db",
    "*~",
    "*.swp",
    "*.crdownload",
    "~$*",
    "forebay-data/",
)

REMOTE_EMBEDDERS = ("openai", "azure", "openai-compatible")


def _cpu_count() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cache_directory() -> Path:
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "forebay"
    except RuntimeError:  # HOME is unset and the user unknown, as in containers: the model is then converted at each start
        return Path("/nonexistent/forebay")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """The HTTP server."""

    host: str = setting("127.0.0.1", "The address to listen on.", matching(r"[\w.:%-]+", "a host name or an address"), unit="host")
    port: int = setting(8000, "The port to listen on; 0 takes a free one.", whole(0, 65_535), unit="port")
    api_key: Secret | None = setting(
        None, "A key with scope admin, besides the one in `admin.key`; commands send it as theirs.", secret, unit="secret"
    )
    ingestion_api_key: Secret | None = setting(
        None, "A key that may only send telemetry, for agents and applications.", secret, unit="secret", aliases=("INGESTION_API_KEY",)
    )
    public_url: str | None = setting(
        None, "The URL under which clients reach the server.", url, unit="URL", default_text="the bound address"
    )
    rate_limit: float = setting(100.0, "Requests a second that a key may send; 0: any number.", number(0, 1e9), unit="requests/s")
    rate_limit_burst: int = setting(1000, "Requests that a key may send at once.", whole(1, 1 << 30), unit="requests")
    max_body_mb: int = setting(100, "The largest body that a request may have; larger ones are refused.", whole(1, 1 << 20), unit="MiB")
    stop_deadline_seconds: float = setting(
        20.0, "How long a stop may finish work; the rest goes on at the next start.", number(0, 3600), unit="seconds"
    )

    @property
    def url(self) -> str:
        """The public URL, or that of the configured address."""
        return self.public_url or f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    @property
    def max_body_bytes(self) -> int:
        """`max_body_mb` in bytes."""
        return self.max_body_mb << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class IntakeSettings:
    """How files are noticed."""

    ingestion_container: str = setting(
        "incoming",
        "The container whose blobs are ingested; a prefix (`incoming/contracts/`) limits which.",
        container,
        unit="container[/prefix]",
        aliases=("INGESTION_CONTAINER",),
    )
    watch: tuple[Path, ...] = setting(
        (),
        f"Folders to read from, separated by `{os.pathsep}`; nothing in them is ever changed.",
        path,
        unit="paths",
        separator=os.pathsep,
    )
    include: tuple[str, ...] = setting(
        (),
        "When given, only files that match one of these patterns are read.",
        str,
        unit="patterns",
        separator=",",
        default_text="every file",
    )
    exclude: tuple[str, ...] = setting(
        (),
        "Patterns of your own of what is not read, besides the next two; `!pattern` re-includes.",
        str,
        unit="patterns",
        separator=",",
    )
    exclude_secrets: tuple[str, ...] = setting(
        SECRET_PATTERNS, "Patterns of files that tend to hold secrets.", str, unit="patterns", separator=","
    )
    exclude_noise: tuple[str, ...] = setting(NOISE_PATTERNS, "Patterns of what tools leave behind.", str, unit="patterns", separator=",")
    respect_gitignore: bool = setting(True, "Leave out what `.gitignore` files name.", flag, unit="1 or 0")
    settle_milliseconds: int = setting(
        200, "How long a file must have stopped growing before it is read.", whole(0, 600_000), unit="milliseconds"
    )
    reconcile_interval_seconds: float = setting(
        300.0, "How often sources are compared with the catalog, for what the watcher missed.", number(1, 86_400), unit="seconds"
    )

    backlog_limit: int = setting(
        10_000,
        "Arrivals in flight at which uploads are refused (503 with `Retry-After`); a project or source with less than its even share may go"
        " on.",
        whole(1, 10_000_000),
        unit="arrivals",
    )
    min_free_disk_mb: int = setting(
        256, "Uploads are refused (503) rather than leave less free on the disk of the data directory.", whole(0, 1 << 30), unit="MiB"
    )

    @property
    def min_free_disk_bytes(self) -> int:
        """`min_free_disk_mb` in bytes."""
        return self.min_free_disk_mb << 20

    @property
    def exclude_patterns(self) -> tuple[str, ...]:
        """The configured patterns of what is not read; the later of two that match wins."""
        return (*self.exclude_secrets, *self.exclude_noise, *self.exclude)

    @property
    def container(self) -> str:
        """The container part of `ingestion_container`."""
        return self.ingestion_container.partition("/")[0]

    @property
    def prefix(self) -> str:
        """The prefix part of `ingestion_container`; empty when every blob counts."""
        return self.ingestion_container.partition("/")[2]

    @property
    def settle_seconds(self) -> float:
        """`settle_milliseconds` in seconds."""
        return self.settle_milliseconds / 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingSettings:
    """How the text of a file is obtained."""

    max_blob_mb: int = setting(10, "Larger files are skipped as `too_large`.", whole(1, 1 << 20), unit="MiB", aliases=("MAX_BLOB_MB",))
    accept_unknown_text: bool = setting(
        False, "Read files with an unknown suffix when their content is text, instead of skipping them.", flag, unit="1 or 0"
    )
    max_text_characters: int = setting(20_000_000, "The longest text that one file may yield.", whole(1000), unit="characters")
    parse_workers: int = setting(
        lambda: max(1, min(4, _cpu_count() - 1)),
        "Processes that parse PDF, Office and HTML files.",
        whole(1, 256),
        unit="processes",
        default_text="CPUs - 1, from 1 to 4",
    )
    parse_timeout_seconds: float = setting(60.0, "How long parsing one file may take.", number(0.1, 86_400), unit="seconds")
    scan_action: Literal["warn", "skip", "fail"] = setting(
        "warn",
        "What becomes of a file in which a key or a password is found: `warn` indexes it and notes the finding, `skip` and `fail` do not"
        " index it.",
        one_of("warn", "skip", "fail"),
        unit="choice",
    )
    parse_memory_mb: int = setting(1024, "How much memory a parser process may use.", whole(128, 1 << 20), unit="MiB")

    @property
    def max_blob_bytes(self) -> int:
        """`max_blob_mb` in bytes."""
        return self.max_blob_mb << 20

    @property
    def parse_memory_bytes(self) -> int:
        """`parse_memory_mb` in bytes."""
        return self.parse_memory_mb << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkingSettings:
    """How a text is cut."""

    chunk_size: int = setting(800, "The longest chunk.", whole(50, 100_000), unit="characters", aliases=("CHUNK_SIZE",))
    chunker: Literal["auto", "fixed"] = setting(
        "auto", "`auto` splits by syntax, headings and sentences; `fixed` cuts plain slices.", one_of("auto", "fixed"), unit="choice"
    )


_EMBEDDER_RECIPE = ("embedding_model", "embedding_url", "azure_openai_endpoint", "azure_openai_api_version", "embedding_dimensions")


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingSettings:
    """How chunks become vectors."""

    embedder: Literal["minilm", "mock", "openai", "azure", "openai-compatible"] = setting(
        "minilm",
        "`minilm` is the local model; `openai`, `azure` and `openai-compatible` send texts to a server;"
        " `mock` derives vectors from the text's hash, for tests.",
        one_of("minilm", "mock", *REMOTE_EMBEDDERS),
        unit="choice",
    )
    disable_openai: bool = setting(
        False, "Forbid remote models: the local one embeds, whatever `embedder` says.", flag, unit="1 or 0", aliases=("DISABLE_OPENAI",)
    )
    embedding_model: str | None = setting(
        None,
        "The remote model, for Azure the deployment; with `openai` it is `text-embedding-3-small` unless given.",
        matching(r"[!-~]{1,256}", "the name of a model or deployment"),
        unit="name",
        aliases=("EMBEDDING_MODEL_DEPLOYMENT_NAME",),
    )
    embedding_url: str | None = setting(
        None,
        "The base URL of an OpenAI-compatible server, such as `http://localhost:11434/v1`; with `openai` that of OpenAI unless given.",
        service_url,
        unit="URL",
        aliases=("OPENAI_BASE_URL",),
    )
    openai_api_key: Secret | None = setting(
        None, "The key of `openai` and `openai-compatible`, sent to `embedding_url`.", secret, unit="secret", aliases=("OPENAI_API_KEY",)
    )
    azure_openai_endpoint: str | None = setting(
        None, "The resource, such as `https://NAME.openai.azure.com`.", service_url, unit="URL", aliases=("AZURE_OPENAI_ENDPOINT",)
    )
    azure_openai_api_key: Secret | None = setting(
        None, "The key of the resource.", secret, unit="secret", aliases=("AZURE_OPENAI_API_KEY",)
    )
    azure_openai_api_version: str = setting(
        "2024-10-21",
        "The version of Azure's API.",
        matching(r"[\w.-]{1,64}", "a version such as 2024-10-21"),
        unit="version",
        aliases=("AZURE_OPENAI_API_VERSION", "OPENAI_API_VERSION"),
    )
    embedding_dimensions: int | None = setting(
        None,
        "The length of the remote model's vectors: asked for where the model can shorten them, required where it is not known.",
        whole(1, 65_536),
        unit="numbers",
    )
    embedding_timeout_seconds: float = setting(30.0, "How long one request may take.", number(0.1, 3600), unit="seconds")
    embedding_batch_size: int = setting(64, "Texts in one request, at most.", whole(1, 2048), unit="texts")
    embedding_concurrency: int = setting(8, "Requests under way at a time.", whole(1, 1024), unit="requests")
    embedding_usd_per_million_tokens: float | None = setting(
        None, "The price of the remote model; with it, costs are counted.", number(0, 1e6), unit="USD"
    )
    embed_threads: int = setting(_cpu_count, "Threads that embed.", whole(1, 1024), unit="threads", default_text="CPUs")
    model_cache_dir: Path = setting(
        _cache_directory,
        "Where the converted model is kept.",
        path,
        unit="path",
        default_text="$XDG_CACHE_HOME/forebay, or ~/.cache/forebay",
    )

    @property
    def recipe(self) -> dict[str, str | int | None]:
        """What makes the vectors what they are, without secrets."""
        return {"embedder": self.embedder_in_force} | {name: getattr(self, name) for name in _EMBEDDER_RECIPE}

    def with_recipe(self, recipe: Mapping[str, str | int | None]) -> EmbeddingSettings:
        """These settings, with another embedder's `recipe`."""
        known: dict[str, Any] = {name: value for name, value in recipe.items() if name in ("embedder", *_EMBEDDER_RECIPE)}
        return dataclasses.replace(self, **known)

    @property
    def embed_concurrency(self) -> int | tuple[int, int]:
        """How many slices of documents are embedded at once: what keeps the local threads busy, or what a server turns out to take."""
        if self.embedder_in_force in REMOTE_EMBEDDERS:
            return min(2, self.embedding_concurrency), self.embedding_concurrency
        return 2 * self.embed_threads

    @property
    def is_remote_forbidden(self) -> bool:
        """Whether a remote embedder is asked for that `disable_openai` forbids."""
        return self.disable_openai and self.embedder in REMOTE_EMBEDDERS

    @property
    def embedder_in_force(self) -> Literal["minilm", "mock", "openai", "azure", "openai-compatible"]:
        """`embedder`, or the local one where remote ones are forbidden."""
        return "minilm" if self.is_remote_forbidden else self.embedder


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """The durable engine."""

    inflight_instances: int = setting(64, "Documents in work at a time; further arrivals wait.", whole(1, 100_000), unit="instances")
    activity_timeout_seconds: float = setting(300.0, "How long one try of an activity may take.", number(0.1, 86_400), unit="seconds")
    activity_attempts: int = setting(6, "Tries of an activity, the first one included.", whole(1, 1000), unit="attempts")
    first_retry_seconds: float = setting(1.0, "The wait before the second try.", number(0, 86_400), unit="seconds")
    retry_coefficient: float = setting(2.0, "By how much each wait is longer than the one before.", number(1, 100), unit="factor")
    payload_limit_kb: int = setting(
        64, "The largest input or result of an activity; payloads are references, not texts.", whole(1, 1 << 16), unit="KiB"
    )
    message_lifetime_days: float = setting(
        14.0,
        "A call that was scheduled longer ago is not tried again: it goes to the dead letters as `expired`.",
        number(0.001, 36_500),
        unit="days",
    )
    instance_retention_days: float = setting(
        30.0,
        "How long ended orchestrations and settled dead letters are kept; 0: for ever. Those with open dead letters stay.",
        number(0, 36_500),
        unit="days",
    )
    shadow_replay_ratio: float = setting(
        0.01,
        "Which share of the orchestrations that have ended is replayed, to see whether their code is deterministic.",
        number(0, 1),
        unit="ratio",
    )

    @property
    def payload_limit_bytes(self) -> int:
        """`payload_limit_kb` in bytes."""
        return self.payload_limit_kb << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetrySettings:
    """Logs, metrics and traces."""

    telemetry: bool = setting(True, "Whether the program records what it does itself.", flag, unit="1 or 0")
    role_name: str = setting(
        "forebay", "What the program calls itself in `cloud_RoleName`.", matching(r"[^\x00-\x1f]{1,128}", "one line of text"), unit="name"
    )
    telemetry_sampling: float = setting(
        1.0,
        "Which share of the program's own traces is kept, each whole or not at all; those with failures always are.",
        number(0, 1),
        unit="ratio",
        aliases=("AZURE_MONITOR_SAMPLING_RATE",),
    )
    telemetry_counters_seconds: float = setting(
        30.0, "How often processor, memory, disk and queues are read.", number(0.1, 86_400), unit="seconds"
    )
    telemetry_batch_mb: int = setting(16, "The largest batch of telemetry, inflated.", whole(1, 60), unit="MiB")
    telemetry_log_mb: int = setting(
        2048, "How much telemetry may wait for the tables; more is refused until there is room.", whole(64, 1 << 20), unit="MiB"
    )
    telemetry_retention_days: float = setting(
        30.0, "How long telemetry is kept after it was received; the history of documents stays.", number(0.01, 36_500), unit="days"
    )
    telemetry_max_gb: float = setting(
        4.0, "How much the tables of telemetry may take; beyond it the oldest rows go.", number(0.05, 1 << 20), unit="GiB"
    )

    @property
    def batch_bytes(self) -> int:
        """`telemetry_batch_mb` in bytes."""
        return self.telemetry_batch_mb << 20

    @property
    def log_bytes(self) -> int:
        """`telemetry_log_mb` in bytes."""
        return self.telemetry_log_mb << 20

    @property
    def telemetry_max_bytes(self) -> int:
        """`telemetry_max_gb` in bytes."""
        return int(self.telemetry_max_gb * (1 << 30))


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseSettings:
    """The SQLite file."""

    queue_limit: int = setting(1024, "Units of work that may wait for the writer; more wait outside.", whole(1, 1 << 20), unit="units")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The whole configuration."""

    data_dir: Path = setting(Path("forebay-data"), "Where everything is kept.", path, unit="path", default_text="./forebay-data")
    default_project: str = setting(
        "default-project",
        "The project of whatever names none.",
        matching(r"[A-Za-z0-9][\w.-]{0,127}", "letters, digits, `_`, `.` and `-`, at most 128"),
        unit="name",
        aliases=("FOREBAY_DEFAULT_PROJECT_ID", "DEFAULT_PROJECT_ID"),
    )
    environment: str = setting(
        "development",
        "The name of this deployment.",
        matching(r"[^\x00-\x1f]{1,128}", "one line of text"),
        unit="name",
        aliases=("ENVIRONMENT",),
    )
    log_level: str = setting(
        "INFO",
        "The least severe messages that `forebay up` logs.",
        one_of("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", upper=True),
        unit="level",
        aliases=("LOG_LEVEL",),
    )
    server: ServerSettings = field(default_factory=ServerSettings)
    intake: IntakeSettings = field(default_factory=IntakeSettings)
    reading: ReadingSettings = field(default_factory=ReadingSettings)
    chunking: ChunkingSettings = field(default_factory=ChunkingSettings)
    embedding: EmbeddingSettings = field(default_factory=EmbeddingSettings)
    engine: EngineSettings = field(default_factory=EngineSettings)
    database: DatabaseSettings = field(default_factory=DatabaseSettings)
    telemetry: TelemetrySettings = field(default_factory=TelemetrySettings)

    # setting name -> `environment NAME`, `.env` or `command line`; what is absent has its default
    origins: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    warnings: tuple[str, ...] = field(default=(), compare=False, repr=False)  # about variables that set nothing

    def origin(self, name: str) -> str:
        """Where the value of the setting `name` comes from."""
        return self.origins.get(name, "default")


def leaves() -> Iterator[Leaf]:
    """Every setting, in the order of the tree."""
    for entry in dataclasses.fields(Settings):
        if METADATA_KEY in entry.metadata:
            yield Leaf(name=entry.name, group="", **entry.metadata[METADATA_KEY])
    for entry in dataclasses.fields(Settings):
        if dataclasses.is_dataclass(entry.default_factory):
            for below in dataclasses.fields(entry.default_factory):
                yield Leaf(name=below.name, group=entry.name, **below.metadata[METADATA_KEY])
