"""The Retrieve Capabilities transaction: OPTIONS on the base URL of the service (PS3.18 §8.9)."""

from typing import Annotated, Any

import orjson
from fastapi import APIRouter
from starlette.responses import Response

from auth import Permission
from dicomweb.addresses import PREFIX
from dicomweb.capabilities import WADL, as_json, as_wadl, resources_of
from dicomweb.codings import pack
from dicomweb.dependencies import Caller, requires
from dicomweb.negotiation import Offer
from dicomweb.responses import joined_vary

router = APIRouter(tags=["Capabilities"])

OFFERS = (Offer(WADL), Offer("application/json"), Offer("application/xml"), Offer("text/xml"))
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Every resource with its methods",
        "content": {offer.name: {} for offer in OFFERS},
    },
    406: {"description": "Neither WADL nor JSON is acceptable"},
}


@router.options(PREFIX, responses=_RESPONSES)
@router.options(PREFIX + "/", responses=_RESPONSES)
@router.options("/", responses=_RESPONSES)
def capabilities(caller: Annotated[Caller, requires(Permission.STUDIES_READ)]) -> Response:
    """Capabilities of the service."""
    offer = caller.choose(OFFERS)
    tree = resources_of(caller.request.app.router.routes)
    base = caller.address.service
    if offer.name == "application/json":
        body = orjson.dumps(as_json(tree, base))
    else:
        body = as_wadl(tree, base)
    headers = {
        "Allow": "OPTIONS",
        "Cache-Control": "no-store",
        **joined_vary("Accept", "Accept-Encoding"),
    }
    body = pack(body, caller.header("accept-encoding"), headers)
    return Response(body, headers={"content-type": offer.name, **headers})
