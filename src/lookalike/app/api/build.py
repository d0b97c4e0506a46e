"""The REST API: what `docs/app.md` describes, as one FastAPI application to mount under ``/api``."""

from __future__ import annotations

from fastapi import FastAPI

import lookalike
from lookalike.app.api.collections import add_changes, add_collections
from lookalike.app.api.duplicates import add_duplicates
from lookalike.app.api.errors import handle_errors
from lookalike.app.api.health import add_server
from lookalike.app.api.pictures import add_pictures
from lookalike.app.api.schemas import (
    ErrorResponse,
)
from lookalike.app.api.search import add_search
from lookalike.app.capacity import Capacity
from lookalike.app.metrics import Counting, Metrics
from lookalike.app.service import Service

__all__ = ["create_api"]


def create_api(service: Service, capacity: Capacity | None = None) -> FastAPI:
    """The API over a service; it neither opens nor closes it."""
    capacity = capacity or Capacity()
    codes = (400, 401, 403, 404, 408, 409, 413, 415, 421, 422, 429, 503)
    api = FastAPI(
        title="lookalike",
        version=lookalike.__version__,
        description='Search pictures by picture. Every error is `{"error": {"type", "message"}}`.',
        docs_url=None,  # the pages of FastAPI load their scripts from another machine
        redoc_url=None,
        responses={code: {"model": ErrorResponse} for code in codes},
    )
    api.router.route_class = capacity.route_class()
    metrics = Metrics(service)
    api.add_middleware(Counting, metrics=metrics)
    handle_errors(api, service)
    add_search(api, service, metrics, capacity)
    add_pictures(api, service)
    add_server(api, service, metrics)
    add_collections(api, service)
    add_changes(api, service, capacity)
    add_duplicates(api, service, capacity)
    return api
