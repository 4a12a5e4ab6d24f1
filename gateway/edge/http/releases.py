"""REST: ``/v1/releases``, read-only; what a rollout does is the operator's (``bestiary releases``)."""

from __future__ import annotations

from fastapi import APIRouter

from gateway.edge.http.access import Reads
from gateway.edge.http.problems import problems
from gateway.ports import ReleaseStatus
from gateway.service import Service


def router(service: Service) -> APIRouter:
    """The route over ``service``."""
    routes = APIRouter(prefix="/v1/releases", tags=["releases"])

    @routes.get("", response_model=ReleaseStatus, responses=problems(401, 403))
    async def get_releases(caller: Reads) -> ReleaseStatus:
        """Which release answers here, which is tried beside it, and what was seen of it by this process."""
        return service.releases()

    return routes
