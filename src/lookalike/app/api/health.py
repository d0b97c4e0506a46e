"""The server itself: whether it can search, and its numbers for Prometheus."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Response

import lookalike
from lookalike.app.api.schemas import (
    Health,
)
from lookalike.app.metrics import CONTENT_TYPE, Metrics
from lookalike.app.service import Service

__all__ = ["add_server"]


def add_server(api: FastAPI, service: Service, metrics: Metrics) -> None:
    @api.get("/health", tags=["server"], response_model=Health)
    def health() -> dict[str, Any]:
        """Whether the server can search its collection."""
        return {"status": "ok", "version": lookalike.__version__, "pictures": len(service.collection())}

    @api.get("/metrics", tags=["server"], response_class=Response)
    def prometheus() -> Response:
        """Requests, latencies, pictures and recall, for Prometheus."""
        return Response(metrics.text(), media_type=CONTENT_TYPE)
