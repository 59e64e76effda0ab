"""Rules that warn about policies and workloads which are valid and will not do well."""
