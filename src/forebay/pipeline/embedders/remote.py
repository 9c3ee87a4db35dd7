"""An embedder on another machine, behind the OpenAI embeddings API."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from forebay.effects import Clock, Randomness
from forebay.errors import ForebayError
from forebay.pipeline.embedders.costs import EmbeddingCosts, costs_being_counted
from forebay.pipeline.embedders.pacing import Pace, asked_pause_seconds, used_up_seconds
from forebay.pipeline.embedders.port import closed_error
from forebay.pipeline.embedders.wire import InvalidAnswer, decode_answer, encode_request, error_of, sendable

if TYPE_CHECKING:
    import httpx

TRY_COUNT = 3  # of one request that gets no answer; the pipeline's own retries come on top
FIRST_BACKOFF_SECONDS = 0.5
PATIENCE_SECONDS = 60.0  # how long one request waits for a rate limit in all

_BATCH_BYTES = 250_000  # a token is at least a byte, and OpenAI takes 300,000 tokens a request
_BYTES_PER_NUMBER = 32  # of a vector in JSON, at most
_ANSWER_SLACK_BYTES = 1 << 20
_SHORTEST_CUT = 16  # characters; a model that refuses these does not refuse for their length
_SAID_CHARACTERS = 300
_TOO_LONG = re.compile(
    r"context.?(length|size|window)|n_ctx|too (long|large|many)|max(imum)?[ _](allowed|context|tokens|input|sequence|length)"
    r"|less than \d+ tokens|above_max_length|max \d+ tokens",
    re.IGNORECASE,
)
# some servers answer so to a long input; a text must not be cut because a busy one has "too many requests"
_TOO_LONG_THOUGH_500 = re.compile(r"context.?(length|size|window)|n_ctx|input.{0,30} too (long|large)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a model is served, and how to ask for it."""

    provider: str
    model: str
    url: str
    key_header: str
    key: str | None = field(repr=False)  # the header's whole value
    key_setting: str  # the variable that holds the key, for hints
    encoding: Literal["base64", "float"]  # base64 is a quarter of the bytes, but not every server knows it
    asked_dimensions: int | None  # sent with each request; None: the model's own number


class RemoteEmbedder:
    """Embeds over HTTP; texts that are longer than the model reads are halved until it takes them, and counted.

    Requests carry up to `batch_size` texts and about 250 kB, and at most `concurrency` are under way. A request that is
    not answered is sent again a few times; one that is refused for its rate waits as long as the server asks, up to
    60 s, and all others wait with it. No redirect is followed and no proxy of the environment is used, so nothing
    reaches any host but that of the URL.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        dimensions: int,
        clock: Clock,
        random: Randomness,
        timeout_seconds: float = 30.0,
        batch_size: int = 64,
        concurrency: int = 8,
        usd_per_million_tokens: float | None = None,
    ) -> None:
        self.model_id = f"{endpoint.provider}:{endpoint.model}:{dimensions}"
        self.dimensions = dimensions
        self.costs = EmbeddingCosts(usd=None if usd_per_million_tokens is None else 0.0)  # since the start
        self.truncated_text_count = 0
        self._endpoint = endpoint
        self._asked_dimensions = endpoint.asked_dimensions
        self._clock = clock
        self._random = random
        self._timeout_seconds = timeout_seconds
        self._batch_size = batch_size
        self._concurrency = concurrency
        self._usd_per_million_tokens = usd_per_million_tokens
        self._slots = asyncio.Semaphore(concurrency)
        self._pace = Pace(clock)
        self._calls: set[asyncio.Task[NDArray[np.float32]]] = set()
        self._client: httpx.AsyncClient | None = None
        self._is_closed = False

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See `Embedder.embed`."""
        if self._is_closed:
            raise closed_error()
        call = asyncio.create_task(self._embed_all([sendable(text) for text in texts]))
        self._calls.add(call)
        try:
            return await call
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._is_closed and task is not None and not task.cancelling():
                raise closed_error() from None
            raise
        finally:
            self._calls.discard(call)

    async def close(self) -> None:
        """See `Embedder.close`."""
        self._is_closed = True
        calls = list(self._calls)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()

    async def _embed_all(self, texts: list[str]) -> NDArray[np.float32]:
        if not texts:
            return np.empty((0, self.dimensions), np.float32)
        try:
            async with asyncio.TaskGroup() as group:
                parts = [group.create_task(self._embed_batch(batch)) for batch in self._batches(texts)]
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return np.concatenate([part.result() for part in parts])

    def _batches(self, texts: list[str]) -> Iterator[list[str]]:
        batch: list[str] = []
        size_bytes = 0
        for text in texts:
            text_bytes = len(text.encode())
            if batch and (len(batch) == self._batch_size or size_bytes + text_bytes > _BATCH_BYTES):
                yield batch
                batch, size_bytes = [], 0
            batch.append(text)
            size_bytes += text_bytes
        yield batch

    async def _embed_batch(self, texts: list[str]) -> NDArray[np.float32]:
        """Embed a batch; what is refused as too long is divided: the batch first, then the text.

        A text's cut depends on itself alone, so that it gets the same vector in any company.
        """
        try:
            return await self._ask(texts)
        except _TooLong:
            if len(texts) == 1:
                return await self._embed_start_of(texts[0])
        middle = len(texts) // 2
        return np.concatenate([await self._embed_batch(texts[:middle]), await self._embed_batch(texts[middle:])])

    async def _embed_start_of(self, text: str) -> NDArray[np.float32]:
        while True:
            text = text[: len(text) // 2]
            try:
                vector = await self._ask([sendable(text)])
            except _TooLong as refused:
                if len(text) <= _SHORTEST_CUT:
                    raise self._failure(f"refused even {_SHORTEST_CUT} characters as too long: {refused}") from None
                continue
            self.truncated_text_count += 1
            return vector

    async def _ask(self, texts: list[str]) -> NDArray[np.float32]:
        """One request, sent until it is answered or hopeless."""
        deadline = self._clock.monotonic() + PATIENCE_SECONDS
        failure_count = refusal_count = 0
        while True:
            asked_dimensions = self._asked_dimensions
            body = encode_request(texts, model=self._endpoint.model, encoding=self._endpoint.encoding, dimensions=asked_dimensions)
            try:
                async with self._slots:
                    began = self._clock.monotonic()
                    is_open = await self._pace.wait(deadline)
                    self._count(waited_seconds=self._clock.monotonic() - began)
                    if not is_open:
                        raise self._failure(
                            f"limits its rate, and had no room for {PATIENCE_SECONDS:g} s",
                            hint="Lower FOREBAY_EMBEDDING_CONCURRENCY, or ask the provider for a higher limit.",
                            retryable=True,
                        )
                    self._count(requests=1, retries=min(1, failure_count + refusal_count))
                    status, headers, content = await self._post(body, len(texts))
            except _Unanswered as unanswered:
                status, headers, content = 0, {}, b""
                said = str(unanswered)
            else:
                if status == 200:
                    return self._accepted(headers, content, len(texts))
                said = self._said(status, content)
            if _is_rate_refusal(status, headers) and error_of(content)[0] != "insufficient_quota":
                refusal_count += 1
                asked = asked_pause_seconds(headers, self._clock.now())
                self._pace.pause(self._backoff_seconds(refusal_count) if asked is None else max(asked, 0.05 * refusal_count))
            elif status in (400, 422) and asked_dimensions is not None and re.search("dimensions|matryoshka", said, re.IGNORECASE):
                self._asked_dimensions = None  # the model has only one number of them; the answer is checked anyway
            elif _is_too_long(status, said):
                raise _TooLong(said)
            elif status in (0, 408, 409, 425) or status >= 500:
                failure_count += 1
                if failure_count == TRY_COUNT:
                    raise self._failure(f"{said} ({TRY_COUNT} tries)", hint="The pipeline tries again by itself.", retryable=True)
                pause_seconds = self._backoff_seconds(failure_count)
                await self._clock.sleep(pause_seconds)
                self._count(waited_seconds=pause_seconds)
            else:
                raise self._failure(said, hint=self._hint(status))

    async def _post(self, body: bytes, count: int) -> tuple[int, Mapping[str, str], bytes]:
        """(status, headers with lower-case names, content). Raises `_Unanswered`."""
        import httpx

        endpoint = self._endpoint
        if self._client is None:
            self._client = httpx.AsyncClient(
                follow_redirects=False,
                trust_env=False,
                verify=httpx.create_ssl_context(),  # the one thing of the environment that stays: SSL_CERT_FILE
                timeout=None,  # noqa: S113 - the deadline below holds for the whole exchange
                limits=httpx.Limits(max_connections=self._concurrency),
            )
        # the key travels with each request and is kept nowhere else, so that no repr of the client shows it
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        if endpoint.key is not None:
            headers[endpoint.key_header] = endpoint.key
        limit_bytes = count * self.dimensions * _BYTES_PER_NUMBER + _ANSWER_SLACK_BYTES
        content = bytearray()
        try:
            async with (
                asyncio.timeout(self._timeout_seconds),
                self._client.stream("POST", endpoint.url, content=body, headers=headers) as response,
            ):
                async for part in response.aiter_bytes():
                    content += part
                    if len(content) > limit_bytes:
                        raise self._failure(f"expected at most {limit_bytes} bytes for {count} vectors, but more came")
                return response.status_code, {name.lower(): value for name, value in response.headers.items()}, bytes(content)
        except TimeoutError:
            raise _Unanswered(f"did not answer within {self._timeout_seconds:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _Unanswered(f"could not be asked: {self._without_key(str(error)) or type(error).__name__}") from None

    def _accepted(self, headers: Mapping[str, str], content: bytes, count: int) -> NDArray[np.float32]:
        used_up = used_up_seconds(headers)
        if used_up is not None:
            self._pace.pause(used_up)
        try:
            vectors = decode_answer(content, count=count, dimensions=self.dimensions)
        except InvalidAnswer as invalid:
            hint = "Set FOREBAY_EMBEDDING_DIMENSIONS to what the model gives." if invalid.is_lasting else "Look into the server's log."
            raise self._failure(f"gave a wrong answer: {invalid}", hint=hint, retryable=not invalid.is_lasting) from None
        price = self._usd_per_million_tokens
        self._count(tokens=vectors.token_count, usd=None if price is None else vectors.token_count * price / 1e6)
        return vectors.matrix

    def _count(self, **costs: Any) -> None:
        """Add to what is counted since the start, and for whoever counts this call."""
        for counted in (self.costs, costs_being_counted()):
            if counted is not None:
                counted.add(**costs)

    def _backoff_seconds(self, count: int) -> float:
        return float(FIRST_BACKOFF_SECONDS * 2 ** min(count - 1, 6) * (0.75 + self._random.ratio() / 2))

    def _said(self, status: int, content: bytes) -> str:
        """What an error answer says, as one short line; nothing of what came when a key was refused, which may quote it."""
        if status in (401, 403):
            return f"answered {status} to the key" if self._endpoint.key else f"answered {status} to a request without a key"
        code, message = error_of(content)
        line = " ".join(self._without_key(f"{code} {message}").split())
        printable = "".join(character for character in line if character.isprintable())[:_SAID_CHARACTERS]
        return f"answered {status}" + (f": {printable}" if printable else "")

    def _without_key(self, text: str) -> str:
        key = (self._endpoint.key or "").removeprefix("Bearer ")
        return text.replace(key, "********") if key else text

    def _hint(self, status: int) -> str:
        if status in (401, 403):
            return f"Check {self._endpoint.key_setting}, and what the key may do."
        if status == 404:
            return f"Check the model's name ({self._endpoint.model}) and the URL; an OpenAI-compatible one often ends in /v1."
        if status == 429:
            return "The provider's quota is used up: check plan and billing."
        if 300 <= status < 400:
            return "Redirects are not followed: set the URL to the server itself."
        return "The provider refuses what was asked; `forebay settings` shows model, URL and dimensions."

    def _failure(self, what: str, *, hint: str = "", retryable: bool = False) -> ForebayError:
        message = f"the embedder {self.model_id} {what}"
        return ForebayError("embedding_failed", message, retryable=retryable, hint=hint, status=503 if retryable else 502)


class _TooLong(Exception):
    """The server says that the input is more than it takes."""


class _Unanswered(Exception):
    """No answer came."""


def _is_rate_refusal(status: int, headers: Mapping[str, str]) -> bool:
    return status == 429 or (status == 503 and not headers.keys().isdisjoint(("retry-after", "retry-after-ms")))


def _is_too_long(status: int, said: str) -> bool:
    if status == 500:
        return _TOO_LONG_THOUGH_500.search(said) is not None
    return status == 413 or (status in (400, 422) and _TOO_LONG.search(said) is not None)
