"""What a run leaves behind: summary, JSON, CSV files and the HTML report."""
