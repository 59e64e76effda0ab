"""What users write and read back: the policy's models, rules, schema and status."""
