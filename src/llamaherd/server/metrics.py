"""Numbers for Prometheus: requests, times, and what each loaded model's engine does."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from llamaherd.engine import Stats
from llamaherd.server.access_log import Record
from llamaherd.server.models import Models

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)

COUNTERS = {
    "prompt_tokens": "tokens of prompts that were read, those found in memory not included",
    "cached_tokens": "tokens of prompts that were found in memory",
    "generated_tokens": "tokens that were drawn",
    "steps": "calls of llama_decode",
    "preempted": "requests that had to step back for want of memory",
    "proposed_tokens": "guesses ahead that were checked",
    "accepted_tokens": "guesses ahead that came true",
    "decode_s": "seconds spent in llama_decode and sampling",
}
GAUGES = {"running": "requests in the batch", "waiting": "requests in the queue"}


class Metrics:
    """Counts requests as they end. One for each application."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        labels = ("path", "status")
        self._requests = Counter(
            "llamaherd_requests", "requests that ended", labels, registry=self.registry
        )
        self._seconds = Histogram(
            "llamaherd_request_seconds", "from the first byte of a request to the last of its "
            "response", ("path",), buckets=SECONDS, registry=self.registry,
        )  # fmt: skip
        self._first = Histogram(
            "llamaherd_first_byte_seconds", "until the response began", ("path",),
            buckets=SECONDS, registry=self.registry,
        )  # fmt: skip

    def note(self, record: Record, path: str) -> None:
        """A request has ended; ``path`` is its route's, so that there are not too many."""
        self._requests.labels(path, record.status).inc()
        self._seconds.labels(path).observe(record.ms / 1e3)
        self._first.labels(path).observe(record.first_byte_ms / 1e3)

    def watch(self, models: Models) -> None:
        """Read the engines of these models whenever somebody asks."""
        self.registry.register(_Engines(models))


class _Engines(Collector):
    def __init__(self, models: Models) -> None:
        self._models = models

    def collect(self) -> Iterable[Metric]:
        """The metrics of all loaded models."""
        loaded = GaugeMetricFamily(
            "llamaherd_model_loaded", "whether a model is in memory", labels=["model"]
        )
        n_bytes = GaugeMetricFamily(
            "llamaherd_model_bytes", "of its weights and context", labels=["model"]
        )
        stats: dict[str, Stats] = {}
        for resident in self._models:
            loaded.add_metric([resident.name], resident.llm is not None)
            n_bytes.add_metric([resident.name], resident.n_bytes)
            if resident.llm is not None:
                stats[resident.name] = resident.llm.stats()
        return [loaded, n_bytes, *_counters(stats), *_gauges(stats)]


def _counters(stats: dict[str, Stats]) -> Iterable[Metric]:
    for name, doc in COUNTERS.items():
        counter = CounterMetricFamily(f"llamaherd_{name}", doc, labels=["model"])
        for model, found in stats.items():
            counter.add_metric([model], getattr(found, name))
        yield counter
    finished = CounterMetricFamily(
        "llamaherd_answers", "answers by why they ended", labels=["model", "reason"]
    )
    for model, found in stats.items():
        for reason, n in found.finished.items():
            finished.add_metric([model, reason], n)
    yield finished


def _gauges(stats: dict[str, Stats]) -> Iterable[Metric]:
    for name, doc in GAUGES.items():
        gauge = GaugeMetricFamily(f"llamaherd_{name}", doc, labels=["model"])
        for model, found in stats.items():
            gauge.add_metric([model], getattr(found, name))
        yield gauge


def exposition(metrics: Metrics) -> bytes:
    """Prometheus's text format."""
    return generate_latest(metrics.registry)
