"""What monitoring asks for, in Prometheus's text form; each server counts for itself."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

if TYPE_CHECKING:
    from lookalike.app.service import Answer, Service

__all__ = ["CONTENT_TYPE", "Counting", "Metrics"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """Counters and histograms of one server."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        named: dict[str, Any] = {"registry": self.registry}
        self.requests = Counter(
            "lookalike_requests", "Requests to the API by route and status.", ["route", "method", "status"], **named
        )
        self.seconds = Histogram(
            "lookalike_request_seconds",
            "From request to answer, waiting included.",
            ["route"],
            buckets=BUCKETS,
            **named,
        )
        self.embed = Histogram("lookalike_embed_seconds", "From pictures to a vector.", buckets=BUCKETS, **named)
        self.search = Histogram("lookalike_search_seconds", "From a vector to results.", buckets=BUCKETS, **named)
        self.waiting = Gauge("lookalike_searches_waiting", "Searches in line or at work.", **named)
        self._pictures = Gauge("lookalike_pictures", "Pictures that can be found.", ["collection"], **named)
        self._recall = Gauge("lookalike_recall_at_10", "Measured against exact search.", ["collection"], **named)

    def count_search(self, answer: Answer) -> None:
        """One search was answered."""
        self.embed.observe(answer.timing_ms["embed"] / 1e3)
        self.search.observe(answer.timing_ms["search"] / 1e3)

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        self._pictures.clear()
        self._recall.clear()
        for name, collection in self._service.opened().items():
            status = collection.status()
            self._pictures.labels(name).set(status["pictures"])
            self._recall.labels(name).set(status["recall_at_10"]["value"])
        return bytes(generate_latest(self.registry))


class Counting:
    """ASGI middleware that counts requests by route, never by what was asked."""

    def __init__(self, app: Any, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, status = time.perf_counter(), 500

        async def watched(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            route = getattr(scope.get("route"), "path", "none")
            self._metrics.requests.labels(route, scope["method"], str(status)).inc()
            self._metrics.seconds.labels(route).observe(time.perf_counter() - begun)
