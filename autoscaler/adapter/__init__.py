"""The custom and external metrics APIs of Kubernetes, served from the same sources as the policies."""
