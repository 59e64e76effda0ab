"""Settings -> a source that is ready to be asked."""

from __future__ import annotations

import requests

from autoscaler.metrics.promql import Area
from autoscaler.metrics.sources.bounded_queries import RetryPolicy
from autoscaler.metrics.sources.cached import FRESH_SECONDS, CachedSource, ClosableSource
from autoscaler.metrics.sources.connection import PrometheusConnection
from autoscaler.metrics.sources.prometheus import PrometheusSource
from autoscaler.metrics.sources.routed import LazySource, MissingSource, RoutedSource
from autoscaler.metrics.sources.sessions import GoogleSession, google_credentials, login, with_tls
from autoscaler.ports.metrics import CloudQuestion, PromqlQuestion, SignalQuestion
from autoscaler.settings import MetricSettings

MANAGED_PROMETHEUS = "https://monitoring.googleapis.com/v1/projects/{}/location/global/prometheus"

_ATTEMPT = 0.8
"""The share of the deadline that one try may take: asking a slow server again makes it slower."""

_NO_CLOUD = "no Cloud Monitoring here: --google-project or --cloud-monitoring-project names its project"


def open_source(settings: MetricSettings, fresh_seconds: float = FRESH_SECONDS) -> CachedSource:
    """The source that the settings describe. Nothing is sent yet; close it when done.

    ``fresh_seconds``: how long an answer is reused.

    Raises:
        QueryError: there are no credentials for Google.
    """
    area = Area(settings.cluster, settings.location, settings.cluster_project)
    pace = RetryPolicy(deadline=settings.deadline_seconds, attempt=_ATTEMPT * settings.deadline_seconds)
    prometheus = PrometheusSource(_connection(settings), area, pace)
    routed = RoutedSource(
        {
            SignalQuestion: prometheus,
            PromqlQuestion: prometheus,
            CloudQuestion: _cloud_monitoring(settings, pace),
        }
    )
    return CachedSource(routed, fresh_seconds)


def _connection(settings: MetricSettings) -> PrometheusConnection:
    if settings.google_project is None:
        assert settings.prometheus_url is not None  # MetricSettings.faults
        return PrometheusConnection(
            settings.prometheus_url, with_tls(requests.Session(), settings), login(settings)
        )
    url = settings.prometheus_url or MANAGED_PROMETHEUS.format(settings.google_project)
    return PrometheusConnection(url, with_tls(GoogleSession(google_credentials()), settings))


def _cloud_monitoring(settings: MetricSettings, pace: RetryPolicy) -> ClosableSource:
    project = settings.cloud_monitoring_project or settings.google_project
    if project is None:
        return MissingSource(_NO_CLOUD)
    return LazySource("Cloud Monitoring", lambda: _open_cloud(project, pace))


def _open_cloud(project: str, pace: RetryPolicy) -> ClosableSource:
    # gRPC takes most of a second to import and most policies do without.
    from google.cloud.monitoring_v3 import MetricServiceClient

    from autoscaler.metrics.sources.cloud_monitoring import CloudMonitoringSource

    return CloudMonitoringSource(project, MetricServiceClient(credentials=google_credentials()), pace)
