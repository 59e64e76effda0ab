"""The replicas that a latency objective needs, learned from vLLM's own metrics: pure, state in and out.

``engine.propose`` is the way in. Nothing here is imported unless a policy has an objective: NumPy comes
with it.
"""
