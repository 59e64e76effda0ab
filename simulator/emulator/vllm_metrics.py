"""``/metrics`` of an emulated vLLM: the server's counts in the metric families of the real one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from prometheus_client import Metric
from prometheus_client.registry import Collector

from simulator.emulator.families import HISTOGRAMS, Histogram, counter, gauge, histogram, length_edges
from simulator.emulator.serving import Generation, Serving
from simulator.vllm.profile import Profile

FINISH_REASONS = ("stop", "length", "abort", "error", "repetition")
ALWAYS_ZERO = {
    "vllm:estimated_flops_per_gpu": "Floating point operations; never counted here.",
    "vllm:estimated_read_bytes_per_gpu": "Bytes read from memory; never counted here.",
    "vllm:estimated_write_bytes_per_gpu": "Bytes written to memory; never counted here.",
    "vllm:prefix_cache_queries": "Tokens looked up in the prefix cache, which is off.",
    "vllm:prefix_cache_hits": "Tokens found in the prefix cache, which is off.",
    "vllm:external_prefix_cache_queries": "Tokens looked up in other instances' caches.",
    "vllm:external_prefix_cache_hits": "Tokens found in other instances' caches.",
    "vllm:mm_cache_queries": "Items looked up in the multi-modal cache.",
    "vllm:mm_cache_hits": "Items found in the multi-modal cache.",
    "vllm:prompt_tokens_cached": "Prompt tokens that were cached.",
}


class Observed:
    """Counts and histograms of one server; a ``ServingObserver``."""

    def __init__(self, max_model_len: int) -> None:
        lengths = length_edges(max_model_len)
        self.histograms = {name: Histogram(edges or lengths) for name, (_, edges) in HISTOGRAMS.items()}
        self.prompt_tokens = 0
        self.reasons: Counter[str] = Counter()

    def first_token(self, answer: Generation) -> None:
        """Counts the prompt once it is complete, as vLLM does."""
        self.prompt_tokens += answer.prompt
        self._observe("time_to_first_token_seconds", answer.first_at - answer.arrived_at)

    def run(
        self, prompt_tokens: int, sequences: int, steps: int, first_step_s: float, growth_s: float
    ) -> None:
        """Counts each step as a gap between two tokens of every decoding request."""
        self._observe("iteration_tokens_total", prompt_tokens + sequences)
        if steps > 1:
            self._observe("iteration_tokens_total", sequences, steps - 1)
        if sequences:
            for step in range(steps):
                self._observe("inter_token_latency_seconds", first_step_s + step * growth_s, sequences)

    def finished(self, answer: Generation, queue_s: float) -> None:
        """Counts a complete answer, its times split as vLLM splits them."""
        self.reasons[answer.reason] += 1
        e2e, ttft = answer.done_at - answer.arrived_at, answer.first_at - answer.arrived_at
        self._observe("e2e_request_latency_seconds", e2e)
        self._observe("request_queue_time_seconds", queue_s)
        self._observe("request_inference_time_seconds", e2e - queue_s)
        self._observe("request_prefill_time_seconds", ttft - queue_s)
        self._observe("request_decode_time_seconds", e2e - ttft)
        if answer.output > 1:
            self._observe("request_time_per_output_token_seconds", (e2e - ttft) / (answer.output - 1))
        self._observe("request_prompt_tokens", answer.prompt)
        self._observe("request_prefill_kv_computed_tokens", answer.prompt)
        self._observe("request_generation_tokens", answer.output)
        self._observe("request_max_num_generation_tokens", answer.output)
        self._observe("request_params_max_tokens", answer.max_tokens)
        self._observe("request_params_n", 1)

    def aborted(self) -> None:
        """Counts in no histogram."""
        self.reasons["abort"] += 1

    def _observe(self, name: str, value: float, times: int = 1) -> None:
        self.histograms[f"vllm:{name}"].observe(value, times)


class VllmCollector(Collector):
    """Turns a server's state into vLLM's families at each scrape."""

    def __init__(
        self, serving: Serving, observed: Observed, profile: Profile, model_name: str, created: float
    ) -> None:
        """``serving`` is advanced to now before a scrape; ``created``: epoch seconds."""
        self._serving = serving
        self._observed = observed
        self._profile = profile
        self._labels = {"model_name": model_name, "engine": "0"}
        self._created = created

    def collect(self) -> Iterator[Metric]:
        """All families, counters first."""
        yield from self._counters()
        yield from self._gauges()
        for name, observed in self._observed.histograms.items():
            yield histogram(name, HISTOGRAMS[name][0], self._labels, observed, self._created)

    def _counters(self) -> Iterator[Metric]:
        serving, observed, created = self._serving, self._observed, self._created
        for name, text in ALWAYS_ZERO.items():
            yield counter(name, text, [(self._labels, 0.0)], created)
        for name, text, value in (
            ("vllm:num_preemptions", "Preemptions.", serving.preemptions),
            ("vllm:prompt_tokens", "Prompt tokens computed.", observed.prompt_tokens),
            (
                "vllm:generation_tokens",
                "Output tokens generated.",
                serving.replica.tokens_generated_until(serving.now),
            ),
        ):
            yield counter(name, text, [(self._labels, value)], created)
        sources = {"local_compute": observed.prompt_tokens, "local_cache_hit": 0, "external_kv_transfer": 0}
        by_source = [({**self._labels, "source": source}, value) for source, value in sources.items()]
        yield counter("vllm:prompt_tokens_by_source", "Prompt tokens by source.", by_source, created)
        ended = [
            ({**self._labels, "finished_reason": reason}, observed.reasons[reason])
            for reason in FINISH_REASONS
        ]
        yield counter("vllm:request_success", "Requests that ended, by reason.", ended, created)
        refused = serving.replica.refused
        if refused is not None:  # as vLLM from 0.32 on, without the engine in the labels
            model = {"model_name": self._labels["model_name"]}
            reasons = {"max_num_queued_reqs": refused, "max_num_queued_tokens": 0}
            by_limit = [({**model, "reason": reason}, value) for reason, value in reasons.items()]
            yield counter("vllm:admission_rejections", "Requests refused by a limit.", by_limit, created)

    def _gauges(self) -> Iterator[Metric]:
        replica, now, labels = self._serving.replica, self._serving.now, self._labels
        waiting = float(replica.waiting(now))
        running = "Requests in the batch."
        yield gauge("vllm:num_requests_running", running, [(labels, float(replica.running))])
        yield gauge("vllm:num_requests_waiting", "Requests that wait.", [(labels, waiting)])
        reasons = {"capacity": waiting, "deferred": 0.0}
        by_reason = [({**labels, "reason": reason}, value) for reason, value in reasons.items()]
        yield gauge("vllm:num_requests_waiting_by_reason", "Requests that wait, by reason.", by_reason)
        states = {"awake": 1.0, "weights_offloaded": 0.0, "discard_all": 0.0}
        asleep = [({**labels, "sleep_state": state}, value) for state, value in states.items()]
        yield gauge("vllm:engine_sleep_state", "Whether the engine sleeps; it never does.", asleep)
        usage = "KV-cache blocks in use, 0 to 1."
        yield gauge("vllm:kv_cache_usage_perc", usage, [(labels, replica.kv_usage(now))])
        yield gauge("vllm:cache_config_info", "The cache's configuration.", [(self._cache_config(), 1.0)])

    def _cache_config(self) -> Mapping[str, str]:
        memory, scheduler = self._profile.memory, self._profile.scheduler
        blocks = memory.kv_cache_blocks or memory.kv_cache_tokens // scheduler.block_size_tokens
        return {
            **UNCHANGED_CACHE_CONFIG,
            "engine": "0",
            "block_size": str(scheduler.block_size_tokens),
            "kv_cache_max_concurrency": str(memory.kv_cache_tokens / self._profile.max_model_len_tokens),
            "kv_cache_size_tokens": str(memory.kv_cache_tokens),
            "num_gpu_blocks": str(blocks),
        }


UNCHANGED_CACHE_CONFIG = {
    "_block_size_resolved": "True",
    "cache_dtype": "auto",
    "calculate_kv_scales": "False",
    "enable_prefix_caching": "False",
    "gpu_memory_utilization": "0.92",
    "is_attention_free": "False",
    "kv_cache_dtype_skip_layers": "[]",
    "kv_cache_memory_bytes": "None",
    "kv_offloading_backend": "native",
    "kv_offloading_size": "None",
    "kv_sharing_fast_prefill": "False",
    "mamba_block_size": "None",
    "mamba_cache_dtype": "auto",
    "mamba_cache_mode": "none",
    "mamba_page_size_padded": "None",
    "mamba_ssm_cache_dtype": "auto",
    "num_cpu_blocks": "None",
    "num_gpu_blocks_override": "None",
    "prefix_caching_hash_algo": "sha256",
    "prefix_match_unit": "None",
    "skip_page_size_padded": "None",
    "sliding_window": "None",
    "user_specified_block_size": "False",
    "user_specified_mamba_block_size": "False",
}
"""Labels of ``vllm:cache_config_info`` that no profile changes: vLLM 0.26 with its defaults."""
