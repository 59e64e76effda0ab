"""Where metrics are read from: Prometheus-compatible servers and Cloud Monitoring."""
