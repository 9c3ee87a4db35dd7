"""The whole program on its data directory."""

from __future__ import annotations

import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from forebay import __version__
from forebay.app.adapters import Adapters, real_adapters
from forebay.app.core import Core, run_core
from forebay.app.observed import watch_of
from forebay.app.telemetry import open_telemetry
from forebay.data_directory import own_data_directory
from forebay.durable import ManagementUrls
from forebay.intake.admission import Admission
from forebay.settings import Settings
from forebay.telemetry.observe.observing import observing

if TYPE_CHECKING:
    from fastapi import FastAPI

    from forebay.server.parts import Parts


@dataclass(frozen=True, slots=True, kw_only=True)
class Forebay:
    """The running program."""

    settings: Settings
    core: Core
    parts: Parts  # what the HTTP API stands on
    asgi: FastAPI  # the HTTP API
    admin_key: str

    async def until_idle(self) -> None:
        """Return once every source has been compared with the catalog and every arrival has its outcome."""
        await self.core.watcher.until_reconciled()
        await self.core.dispatcher.until_idle()


@asynccontextmanager
async def open_forebay(settings: Settings) -> AsyncIterator[Forebay]:
    """The whole program on its data directory, without a socket: for commands, embedding and tests.

    Raises `ForebayError`: `locked`, `data_dir_unusable`, `database_damaged`, `schema_too_new`, `admin_key_damaged`.
    """
    from forebay.server.create import create_server
    from forebay.server.keys.admin_key import load_or_create_admin_key, url_secret
    from forebay.server.keys.ring import KeyRing, fixed_keys
    from forebay.server.parts import Parts, ServerState
    from forebay.server.rate_limits import TokenBuckets

    began = time.perf_counter()
    with own_data_directory(settings.data_dir.absolute()):
        async with real_adapters(settings) as adapters:
            admin_key = load_or_create_admin_key(adapters.effects, settings.data_dir.absolute())
            async with (
                open_telemetry(settings, adapters) as telemetry,
                observing(telemetry.log, settings, adapters.effects, version=__version__) as observation,
                run_core(settings, adapters, observation, drained=lambda: telemetry.drained_instance_event) as core,
            ):
                core.engine.client.urls = ManagementUrls(settings.server.url, url_secret(admin_key))
                keys = KeyRing(adapters.database, adapters.effects, fixed_keys(settings, admin_key), observation=observation)
                await keys.open()
                parts = Parts(
                    settings=settings,
                    effects=adapters.effects,
                    readers=adapters.database.readers,
                    intake=core.intake,
                    admission=_admission(settings, adapters),
                    blobs=adapters.blobs,
                    search=core.search,
                    embedder=adapters.embedder,
                    client=core.engine.client,
                    letters=core.letters,
                    keys=keys,
                    rates=TokenBuckets(adapters.effects.clock, rate=settings.server.rate_limit, burst=settings.server.rate_limit_burst),
                    version=__version__,
                    times=core.pipeline.times,
                    state=ServerState(is_ready=True),
                    sources=core.watcher,
                    checks=core,
                    index=core,
                    telemetry=telemetry,
                    observation=observation,
                )
                asgi = create_server(parts)
                observation.started(time.perf_counter() - began)
                with observation.watching(watch_of(core, telemetry.log)):
                    yield Forebay(settings=settings, core=core, parts=parts, asgi=asgi, admin_key=admin_key)


def _admission(settings: Settings, adapters: Adapters) -> Admission:
    data_dir = settings.data_dir.absolute()
    return Admission(
        adapters.database.readers,
        adapters.effects,
        lambda: shutil.disk_usage(data_dir).free,
        backlog_limit=settings.intake.backlog_limit,
        min_free_bytes=settings.intake.min_free_disk_bytes,
    )
