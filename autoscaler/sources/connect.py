"""Settings -> a source that is ready to be asked."""

from __future__ import annotations

import requests

from autoscaler.rendering import Area
from autoscaler.settings import MetricSettings
from autoscaler.sources.connection import Connection
from autoscaler.sources.prometheus import Pace, PrometheusSource
from autoscaler.sources.sessions import GoogleSession, google_credentials, login, with_tls
from autoscaler.sources.shared import SharedSource

MANAGED_PROMETHEUS = "https://monitoring.googleapis.com/v1/projects/{}/location/global/prometheus"


def open_source(settings: MetricSettings) -> SharedSource:
    """The source that the settings describe. Nothing is sent yet; close it when done.

    Raises:
        QueryError: there are no credentials for Google.
    """
    area = Area(settings.cluster, settings.location, settings.cluster_project)
    pace = Pace(deadline=settings.deadline_seconds)
    return SharedSource(PrometheusSource(_connection(settings), area, pace))


def _connection(settings: MetricSettings) -> Connection:
    if settings.google_project is None:
        assert settings.prometheus_url is not None  # MetricSettings.faults
        return Connection(settings.prometheus_url, with_tls(requests.Session(), settings), login(settings))
    url = settings.prometheus_url or MANAGED_PROMETHEUS.format(settings.google_project)
    return Connection(url, with_tls(GoogleSession(google_credentials()), settings))
