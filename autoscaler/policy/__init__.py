"""Scaling policies: the models, the YAML loader, the schema and the lint rules."""
