"""The output of a run: summary, JSON, CSV files and the HTML report."""
