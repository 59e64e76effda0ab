"""Model-on-GPU profiles: how long a step takes and how much fits. Data in ``profiles/*.yaml``."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from autoscaler.errors import Diagnostic, ProfileError
from simulator.documents.bundled import read_bundled


class NumberLimits:
    """Limits of a number in a user's file, as pydantic's constraints (``gt``, ``ge``, ``le``).

    pydantic calls this when it validates; a bundled profile is read without importing pydantic.
    """

    def __init__(self, **limits: float) -> None:
        self._limits: dict[str, Any] = limits

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        """The schema of a strict number within the limits."""
        from pydantic import Field

        return handler.generate_schema(Annotated[source, Field(strict=True, **self._limits)])


NonNegative = Annotated[float, NumberLimits(ge=0.0, le=1e9)]
Positive = Annotated[float, NumberLimits(gt=0.0, le=1e9)]
Share = Annotated[float, NumberLimits(ge=0.0, lt=1.0)]
Count = Annotated[int, NumberLimits(ge=1, le=2**40)]
Flag = Annotated[bool, NumberLimits()]


class _Part:
    """A mapping of the file; unknown fields are refused."""

    __slots__ = ()
    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTime(_Part):
    """Seconds of one engine step: ``base + per_sequence * decoding sequences + per_kv_token * their
    cached tokens + per_prefill_token * prompt tokens + per_prefill_token_squared * sum over chunks
    of chunk * (2 * done + chunk)``. A step with prompt tokens also waits for its launch: the host needs
    ``prefill_floor`` (or ``eager_floor``) from the moment it can begin; with async scheduling it begins
    while the step before runs. With a sliding window, a cached token beyond the window counts half.

    A mixture of experts also reads the experts that any of a step's ``n`` tokens is routed to, as if
    routing were even: ``experts * (1 - (1 - experts_share) ** n)``.

    The API server then handles the output tokens one after the other (``per_output_token`` each).
    """

    base_ms: Positive
    per_sequence_us: NonNegative
    per_kv_token_ns: NonNegative
    per_prefill_token_us: NonNegative
    per_prefill_token_squared_ns: NonNegative
    experts_ms: NonNegative = 0.0
    """Mixture of experts: reading the weights of all experts."""
    experts_share: Share = 0.0
    """The share of its experts that a token is routed to (8 of 128: 0.0625)."""
    prefill_floor_ms: NonNegative = 0.0
    """Launching a step with a prompt (piecewise CUDA graphs) takes the host this long."""
    eager_floor_ms: NonNegative = 0.0
    """As ``prefill_floor_ms``, for a step of more than ``cuda_graph_tokens`` tokens (kernel by kernel)."""
    cuda_graph_tokens: Count = 512
    """vLLM's ``max_cudagraph_capture_size``."""
    output_delay_ms: NonNegative = 0.0
    """A step's outputs reach the API server this much later; meanwhile the engine runs the next step."""
    request_overhead_ms: NonNegative = 0.0
    """API server and client, per request; part of TTFT and of end-to-end latency."""
    request_overhead_per_prompt_token_us: NonNegative = 0.0
    """As ``request_overhead_ms``, per token of the prompt (parsing, checking, copying)."""
    per_output_token_us: NonNegative = 0.0
    """Detokenizing and streaming one token, in the API server's one thread: it bounds tokens a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheduler(_Part):
    """vLLM's scheduler limits, by the names of its arguments."""

    max_num_seqs: Count
    max_num_batched_tokens: Count
    block_size_tokens: Count = 16
    async_scheduling: Flag = True
    """Step k + 1 is planned while k runs, so a request that arrives in k joins k + 2."""
    enable_prefix_caching: Flag = False
    """Full blocks of prompts are found again, where the trace names their content (``hash_ids``)."""
    max_num_queued_reqs: Count | None = None
    """The most requests, running and waiting, before the server refuses more (503); None: no limit."""

    def __post_init__(self) -> None:
        if self.max_num_seqs > self.max_num_batched_tokens:
            raise ValueError("max_num_batched_tokens must be at least max_num_seqs (one token a sequence)")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaMemory(_Part):
    """The memory of one replica: weights and KV cache."""

    weights_gib: Positive
    kv_cache_tokens: Count
    """``kv_cache_size_tokens`` of ``vllm:cache_config_info`` (not blocks times block size: models
    with several KV groups spend more than one block a token range)."""
    kv_cache_gib: Positive
    """GPU memory of the KV cache, on all GPUs of the replica together."""
    kv_cache_blocks: Count | None = None
    """``num_gpu_blocks`` of ``vllm:cache_config_info``, for a model with a sliding window."""
    sliding_window_tokens: Count | None = None
    """Half of the layers (a KV group of their own, so a token takes two blocks) keep this many."""

    def __post_init__(self) -> None:
        if (self.sliding_window_tokens is None) != (self.kv_cache_blocks is None):
            raise ValueError("kv_cache_blocks and sliding_window_tokens belong together")

    def usable_blocks(self, block_size_tokens: int) -> int:
        """KV blocks for sequences; vLLM keeps one of ``num_gpu_blocks`` as the null block."""
        if self.kv_cache_blocks is not None:
            return self.kv_cache_blocks - 1
        return self.kv_cache_tokens // block_size_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile(_Part):
    """One model on one kind of replica. ``provenance`` says what was measured and how."""

    name: str
    model: str
    gpu: str
    gpus_per_replica: Count
    provenance: str
    max_model_len_tokens: Count
    step_time: StepTime
    scheduler: Scheduler
    memory: ReplicaMemory
    layers: Count | None = None
    """Transformer layers that one GPU runs (a pipeline stage has its share); an engine's start takes longer
    with more. Default: the usual number for the weights' size."""

    def __post_init__(self) -> None:
        if self.scheduler.enable_prefix_caching and self.memory.sliding_window_tokens is not None:
            raise ValueError("enable_prefix_caching is not modelled for models with a sliding window")


_PROFILES = Path(__file__).parent / "profiles"


def profile_names() -> list[str]:
    """The names of the bundled profiles, sorted."""
    return sorted(path.stem for path in _PROFILES.glob("*.yaml"))


def load_profile(name_or_file: str) -> Profile:
    """A bundled profile, by name, or a user's profile, by file.

    Raises ``ProfileError``: neither exists, or the file is wrong.
    """
    if name_or_file in profile_names():
        return _bundled(name_or_file)
    path = Path(name_or_file)
    if not path.exists():
        message = f"no such file, and no profile of this name (there are: {', '.join(profile_names())})"
        raise ProfileError([Diagnostic(name_or_file, None, "", message)])
    from simulator.documents.yaml_model import read_model

    return read_model(path, Profile)


def _bundled(name: str) -> Profile:
    """A bundled profile, not validated here: a test validates all of them."""
    data = read_bundled(_PROFILES / f"{name}.yaml")
    parts = {"step_time": StepTime, "scheduler": Scheduler, "memory": ReplicaMemory}
    return Profile(**data | {key: part(**data[key]) for key, part in parts.items()})


def profile_yaml(profile: Profile) -> str:
    """A profile as the text of its file."""
    import yaml

    document = _given({key: _given(value) for key, value in asdict(profile).items()})
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100)


def _given(value: Any) -> Any:
    """A part without its fields that are None; a file leaves these out."""
    if not isinstance(value, dict):
        return value
    return {key: inner for key, inner in value.items() if inner is not None}
