"""A client of the Kubernetes API: requests, reflector, informer, lease."""
