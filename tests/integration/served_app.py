"""An ASGI application on a free port of the loopback, in the loop of the test."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from azure.durable_functions.models.utils import http_utils
from fastapi import FastAPI


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[str]:
    """The URL under which the application answers until the block ends."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as listener:
        config = uvicorn.Config(app, loop="asyncio", ws="none", lifespan="off", log_config=None, access_log=False)
        server = uvicorn.Server(config)
        config.load()
        server.lifespan = config.lifespan_class(config)
        await server.startup(sockets=[listener])
        ticking = asyncio.create_task(server.main_loop())
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await ticking
            await http_utils._close_session()  # that of Azure's client, which it keeps for ever
            await server.shutdown(sockets=[listener])


def azure_bindings(base_url: str, *, key: str | None = None) -> str:
    """What the host gives to Azure's client: where the API is."""
    scheme, _, rest = base_url.partition("://")
    rpc = f"{scheme}://{'' if key is None else f'key:{key}@'}{rest}/runtime/webhooks/durabletask/"
    of_instance = f"{base_url}/runtime/webhooks/durabletask/instances/INSTANCEID"
    management = {
        "id": "INSTANCEID",
        "statusQueryGetUri": f"{of_instance}?code=c",
        "sendEventPostUri": f"{of_instance}/raiseEvent/{{eventName}}?code=c",
        "terminatePostUri": f"{of_instance}/terminate?reason={{text}}&code=c",
        "purgeHistoryDeleteUri": f"{of_instance}?code=c",
    }
    return json.dumps({"taskHubName": "hub", "creationUrls": {}, "managementUrls": management, "rpcBaseUrl": rpc})
