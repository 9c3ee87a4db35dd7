"""The composition root: the only place where the parts are wired together."""

from forebay.app.adapters import Adapters, make_embedder, schemas
from forebay.app.core import Core, run_core
from forebay.app.orchestrations import register_orchestrations
from forebay.app.places import places
from forebay.app.program import Forebay, open_forebay

__all__ = ["Adapters", "Core", "Forebay", "make_embedder", "open_forebay", "places", "register_orchestrations", "run_core", "schemas"]
