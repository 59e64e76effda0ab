"""From a signal of the catalogue to a reading: queries, sources, and the join with pods."""
