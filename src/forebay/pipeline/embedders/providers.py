"""The providers of remote embedders: where each is, how it takes its key, and how long the vectors of its models are."""

from __future__ import annotations

from typing import TypeVar
from urllib.parse import quote

from forebay.effects import Effects
from forebay.errors import ForebayError
from forebay.pipeline.embedders.remote import Endpoint, RemoteEmbedder
from forebay.settings.tree import EmbeddingSettings

Value = TypeVar("Value")

OPENAI_URL = "https://api.openai.com/v1"
OPENAI_MODEL = "text-embedding-3-small"

# of models under their usual names, in lower case, without an owner before `/` or a tag after `:`
KNOWN_DIMENSIONS = {
    "text-embedding-3-small": 1536,
    "text-embedding-3-large": 3072,
    "text-embedding-ada-002": 1536,
    "all-minilm": 384,
    "all-minilm-l6-v2": 384,
    "bge-small-en-v1.5": 384,
    "bge-base-en-v1.5": 768,
    "bge-large-en-v1.5": 1024,
    "bge-m3": 1024,
    "mxbai-embed-large": 1024,
    "mxbai-embed-large-v1": 1024,
    "nomic-embed-text": 768,
    "nomic-embed-text-v1.5": 768,
}


def remote_embedder(settings: EmbeddingSettings, effects: Effects) -> RemoteEmbedder:
    """The remote embedder that the settings name.

    Raises `ForebayError` `invalid_setting` when URL, key, model or dimensions are missing. Nothing is asked of the
    server: how long its vectors are is configured or known, so that a start needs no network.
    """
    native = KNOWN_DIMENSIONS.get((settings.embedding_model or OPENAI_MODEL).rpartition("/")[2].partition(":")[0].lower())
    asked = settings.embedding_dimensions if settings.embedding_dimensions != native else None
    endpoint = {"openai": _openai, "azure": _azure}.get(settings.embedder, _openai_compatible)(settings, asked)
    dimensions = settings.embedding_dimensions or native
    if dimensions is None:
        raise _missing("FOREBAY_EMBEDDING_DIMENSIONS", f"the length of the vectors of {endpoint.model}, which is not known here")
    return RemoteEmbedder(
        endpoint,
        dimensions=dimensions,
        clock=effects.clock,
        random=effects.random,
        timeout_seconds=settings.embedding_timeout_seconds,
        batch_size=settings.embedding_batch_size,
        concurrency=settings.embedding_concurrency,
        usd_per_million_tokens=settings.embedding_usd_per_million_tokens,
    )


def _openai(settings: EmbeddingSettings, asked_dimensions: int | None) -> Endpoint:
    return Endpoint(
        provider="openai",
        model=settings.embedding_model or OPENAI_MODEL,
        url=f"{settings.embedding_url or OPENAI_URL}/embeddings",
        key_header="Authorization",
        key=f"Bearer {_required(settings.openai_api_key, 'OPENAI_API_KEY', 'a key').reveal()}",
        key_setting="OPENAI_API_KEY",
        encoding="base64",
        asked_dimensions=asked_dimensions,
    )


def _azure(settings: EmbeddingSettings, asked_dimensions: int | None) -> Endpoint:
    resource = _required(settings.azure_openai_endpoint, "AZURE_OPENAI_ENDPOINT", "the URL of the resource")
    deployment = _required(settings.embedding_model, "EMBEDDING_MODEL_DEPLOYMENT_NAME", "the name of the deployment")
    version = quote(settings.azure_openai_api_version, safe="")
    return Endpoint(
        provider="azure",
        model=deployment,
        url=f"{resource}/openai/deployments/{quote(deployment, safe='')}/embeddings?api-version={version}",
        key_header="api-key",
        key=_required(settings.azure_openai_api_key, "AZURE_OPENAI_API_KEY", "a key").reveal(),
        key_setting="AZURE_OPENAI_API_KEY",
        encoding="base64",
        asked_dimensions=asked_dimensions,
    )


def _openai_compatible(settings: EmbeddingSettings, asked_dimensions: int | None) -> Endpoint:
    base_url = _required(settings.embedding_url, "FOREBAY_EMBEDDING_URL", "the base URL of the server")
    key = settings.openai_api_key
    return Endpoint(
        provider="openai-compatible",
        model=_required(settings.embedding_model, "FOREBAY_EMBEDDING_MODEL", "the name of a model"),
        url=f"{base_url}/embeddings",
        key_header="Authorization",
        key=f"Bearer {key.reveal()}" if key is not None else None,  # a server of one's own may need none
        key_setting="OPENAI_API_KEY",
        encoding="float",
        asked_dimensions=asked_dimensions,
    )


def _required(value: Value | None, variable: str, what: str) -> Value:
    if value is None:
        raise _missing(variable, what)
    return value


def _missing(variable: str, what: str) -> ForebayError:
    return ForebayError(
        "invalid_setting",
        f"{variable} is missing: the chosen embedder needs {what}.",
        hint="Set it, or FOREBAY_EMBEDDER=minilm for the local model.",
    )
