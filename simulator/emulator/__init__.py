"""A vLLM without a GPU: endpoints and metrics of its server on the simulator's engine, in real time."""
