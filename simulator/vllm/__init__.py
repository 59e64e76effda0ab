"""A model of vLLM: engine, KV cache, decoding and the profile of a replica."""

from simulator.compiled import prefer_compiled

prefer_compiled(__path__, "vllm")
