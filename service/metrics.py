"""The metrics: a service's figures in the formats of Prometheus.

Imported when they are first asked for, because prometheus_client is needed for nothing else.
"""

from collections.abc import Iterable, Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from aioenv.service.counts import BOUNDS_S, Histogram
from aioenv.service.service import Service

__all__ = ["Metrics"]

# No session waits for a lost client to resume it; nothing parks one yet.
_PARKED = 0


class Metrics:
    """One service's metrics and its process's, in a registry of their own.

    Args:
        service: whose figures to tell.
    """

    def __init__(self, service: Service) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_ServiceCollector(service))
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def render(self, accept: str) -> tuple[bytes, str]:
        """Write the figures of this moment.

        Args:
            accept: what the asker takes, as in the header ``Accept``: Prometheus's text format, or
                OpenMetrics where it is asked for.

        Returns:
            The text and its content type.
        """
        try:
            # The answer's content type repeats the version that is asked for.
            encode, content_type = choose_encoder(accept if accept.isascii() else "")
        except TypeError:  # that is no version
            encode, content_type = choose_encoder("")
        return encode(self._registry), content_type


class _ServiceCollector(Collector):
    """Reads a service's figures whenever they are asked for."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        """Yield every metric of the service."""
        yield from self._gauges()
        yield from self._counters()
        counts = self._service.counts
        yield _histogram(
            "aioenv_step_seconds", "Time from an action to its observation", counts.steps
        )
        yield _histogram("aioenv_reset_seconds", "Time that a reset took", counts.resets)

    def _gauges(self) -> Iterable[Metric]:
        pool = self._service.pool.statistics()
        return [
            GaugeMetricFamily(f"aioenv_{name}", text, value=value)
            for name, text, value in (
                ("sessions_active", "Sessions in use", pool.active),
                ("sessions_waiting", "Connections that wait for a session", pool.waiting),
                ("sessions_parked", "Sessions that wait for their client to return", _PARKED),
                ("sessions_peak", "Most sessions that were in use at a time", pool.peak),
                ("sessions_limit", "Most sessions that may be in use at a time", pool.limit),
                (
                    "stragglers",
                    "Abandoned plain calls that still run outside the pool's count",
                    self._service.workers.stragglers,
                ),
            )
        ]

    def _counters(self) -> Iterable[Metric]:
        counts = self._service.counts
        return [
            *(
                CounterMetricFamily(f"aioenv_{name}", text, value=value)
                for name, text, value in (
                    ("sessions_opened", "Sessions that were opened", counts.opened),
                    ("episodes", "Resets that succeeded", counts.episodes),
                    ("steps", "Steps that ended, failed ones included", counts.steps.count),
                    (
                        "received_bytes",
                        "Bytes of WebSocket frames and HTTP bodies that came in",
                        counts.received_bytes,
                    ),
                    (
                        "sent_bytes",
                        "Bytes of WebSocket frames and HTTP bodies that went out",
                        counts.sent_bytes,
                    ),
                )
            ),
            _labelled("sessions_refused", "Who was turned away", "reason", counts.refused),
            _labelled("errors", "Errors that clients were told of", "code", counts.errors),
        ]


def _labelled(name: str, text: str, label: str, values: dict[str, int]) -> Metric:
    family = CounterMetricFamily(f"aioenv_{name}", text, labels=[label])
    for value, count in values.items():
        family.add_metric([value], count)
    return family


def _histogram(name: str, text: str, histogram: Histogram) -> Metric:
    bounds = [*map(str, BOUNDS_S), "+Inf"]
    buckets = list(zip(bounds, accumulate(histogram.counts), strict=True))
    return HistogramMetricFamily(name, text, buckets=buckets, sum_value=histogram.sum_s)
