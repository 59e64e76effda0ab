"""An autoscaler for vLLM on Kubernetes: declarative policies, one pure decision engine."""

__version__ = "0.1.0"
