"""The `autoscale` command: the composition root."""
