"""`autoscale simulate`: the command and its options, what they contradict, the runs, the files."""
