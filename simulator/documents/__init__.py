"""YAML files of the simulator: those of users, and those of the package."""
