"""The URLs under which an instance is watched and managed: whoever has one needs no key for that instance."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass, field
from urllib.parse import quote

WEBHOOKS = "/runtime/webhooks/durabletask"  # where Azure's extension has its management API


@dataclass(frozen=True, slots=True)
class ManagementUrls:
    """Makes the URLs of instances below `base_url`, each with a code that opens the URLs of that instance alone.

    The code is an HMAC-SHA256 under `secret` (32 random bytes that stay the same, or older URLs open nothing any more) over the
    instance's project and id: an id that is used again in another project has another code.
    """

    base_url: str  # under which clients reach the server, without `/runtime`
    secret: bytes = field(repr=False)

    def code(self, instance_id: str, project: str | None = None) -> str:
        """What opens the URLs of an instance: 43 characters of base64url."""
        named = f"{project or ''}\0{instance_id}".encode()
        return base64.urlsafe_b64encode(hmac.digest(self.secret, named, hashlib.sha256)).decode().rstrip("=")

    def opens(self, code: str, instance_id: str, project: str | None = None) -> bool:
        """Whether a code is that of an instance; takes as long for a wrong one as for the right one."""
        return hmac.compare_digest(code.encode(errors="replace"), self.code(instance_id, project).encode())

    def payload(self, instance_id: str, project: str | None = None) -> dict[str, str]:
        """`id` and the URLs of an instance, named as in Azure's answers; `{eventName}` and `{text}` are for clients to replace."""
        instance = self.status_url(instance_id)
        code = f"code={self.code(instance_id, project)}"
        return {
            "id": instance_id,
            "statusQueryGetUri": f"{instance}?{code}",
            "sendEventPostUri": f"{instance}/raiseEvent/{{eventName}}?{code}",
            "terminatePostUri": f"{instance}/terminate?reason={{text}}&{code}",
            "rewindPostUri": f"{instance}/rewind?reason={{text}}&{code}",
            "suspendPostUri": f"{instance}/suspend?reason={{text}}&{code}",
            "resumePostUri": f"{instance}/resume?reason={{text}}&{code}",
            "restartPostUri": f"{instance}/restart?{code}",
            "purgeHistoryDeleteUri": f"{instance}?{code}",
        }

    def status_url(self, instance_id: str) -> str:
        """The URL of an instance without a code, for whoever has a key."""
        return f"{self.base_url.rstrip('/')}{WEBHOOKS}/instances/{quote(instance_id, safe='')}"
