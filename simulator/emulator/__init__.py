"""A vLLM without a GPU: its server's endpoints and metrics on the simulator's engine, in real time."""
