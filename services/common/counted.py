"""Counters, gauges and histograms that only the event loop counts in: plain integers, without the
locks and label look-ups of prometheus-client's own, which cost more than the counting. Told as its
families when somebody asks.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector


class Count:
    """One number."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0


class _Numbers(Collector):
    """A number by its labels."""

    _family: type[CounterMetricFamily] | type[GaugeMetricFamily]

    def __init__(self, name: str, told: str, labels: Sequence[str]) -> None:
        self._name, self._told, self._labels = name, told, labels
        self._found: dict[tuple[str, ...], Count] = {}

    def of(self, *labels: str) -> Count:
        """The number with these labels; to be kept."""
        return self._found.setdefault(labels, Count())

    def describe(self) -> Iterable[Metric]:
        return [self._family(self._name, self._told, labels=self._labels)]

    def collect(self) -> Iterator[Metric]:
        family = self._family(self._name, self._told, labels=self._labels)
        for labels, count in self._found.copy().items():  # a thread asks while the loop counts
            family.add_metric(labels, count.value)
        yield family


class Counts(_Numbers):
    """A counter by its labels."""

    _family = CounterMetricFamily

    def add(self, *labels: str) -> None:
        """One more."""
        found = self._found.get(labels) or self.of(*labels)
        found.value += 1


class Levels(_Numbers):
    """A gauge by its labels."""

    _family = GaugeMetricFamily


class Spread:
    """How values lie: how many in each bucket, and their sum."""

    __slots__ = ("_bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum: float = 0

    def add(self, value: float) -> None:
        self.counts[bisect_left(self._bounds, value)] += 1
        self.sum += value


class Spreads(Collector):
    """A histogram by its labels."""

    def __init__(
        self, name: str, told: str, labels: Sequence[str], *, bounds: Sequence[float]
    ) -> None:
        self._name, self._told, self._labels, self._bounds = name, told, labels, bounds
        self._ends = [*(str(float(bound)) for bound in bounds), "+Inf"]
        self._found: dict[tuple[str, ...], Spread] = {}

    def of(self, *labels: str) -> Spread:
        """Where values with these labels are counted; to be kept."""
        return self._found.setdefault(labels, Spread(self._bounds))

    def describe(self) -> Iterable[HistogramMetricFamily]:
        return [HistogramMetricFamily(self._name, self._told, labels=self._labels)]

    def collect(self) -> Iterator[HistogramMetricFamily]:
        family = HistogramMetricFamily(self._name, self._told, labels=self._labels)
        for labels, spread in self._found.copy().items():
            buckets: list[tuple[str, float]] = []
            total = 0
            for end, count in zip(self._ends, spread.counts.copy(), strict=True):
                total += count
                buckets.append((end, total))
            family.add_metric(labels, buckets, spread.sum)
        yield family
