"""The API of a ScalingPolicy: its models, rules, schema and status."""
