"""The words of the lint rules: what is harmful, why, and what would be better."""

from __future__ import annotations

ADVICE: dict[str, str] = {
    "misspelt-kind": "Kubernetes has no kind {kind}: did you mean {meant}?",
    "unscalable-kind": (
        "a {kind} has no scale subresource, so this policy does nothing; scale a Deployment, a StatefulSet "
        "or another kind that has one"
    ),
    "utilization-only": (
        "only CPU or GPU utilization drives this policy, which says little about the load of an LLM, "
        "as a single request keeps a GPU busy; drive on running+waiting and make these Guards"
    ),
    "waiting-only": (
        "only waiting requests drive this policy: there are none until the replicas are full, then they "
        "grow without limit while new ones start, and users wait before anything happens; use running+waiting"
    ),
    "latency-only": (
        "only latency drives this policy: it rises when it is too late, its ratio to the target says "
        "nothing about replicas, and without requests it keeps those there are; add running+waiting"
    ),
    "rejections-only": (
        "only refused requests drive this policy, and none are refused while the queues have room: it "
        "removes replicas until they are; add running+waiting"
    ),
    "absent-when-idle": (
        "with semantics: HPA a metric without a value forbids every scale-down, and {signal} has none while "
        "no requests come; with semantics: LLM it abstains then"
    ),
    "nan-when-idle": (
        "histogram_quantile is NaN while no requests come, and NaN forbids every scale-down; use the signal "
        "ttft or itl, which abstains then, or drop the NaN: (...) >= 0 or 0 * sum(rate(..._count[1m]))"
    ),
    "constant-signal": (
        "vLLM takes its GPU memory at start and keeps it, so gpuMemoryUsed does not follow the load; "
        "use kvCacheUsage"
    ),
    "bounded-running": (
        "running stops at vLLM's max_num_seqs (256 on many GPUs) and may never reach this target, "
        "however many requests wait; use running+waiting, or a much lower target"
    ),
    "share-above-one": "{signal} is a share of 0 to 1, so this is never reached: 80 % is 0.8",
    "no-headroom": (
        "a KV cache this full makes vLLM preempt requests before a new replica is ready; leave room, e.g. 0.7"
    ),
    "stuck-at-zero": (
        "scaleUp allows nothing from 0 replicas (a percentage of 0 is 0, selectPolicy Min takes the least, "
        "Disabled forbids all), so the policy stays there; add a policy of type Pods, with selectPolicy Max"
    ),
    "blind-at-zero": (
        "every driver comes from the pods and vanishes with the last one, so nothing wakes the policy at 0 "
        "replicas; add gatewayQueue, or a query on a queue in front"
    ),
    "no-down-stabilization": (
        "0 removes replicas at every dip, and each takes minutes to start again; 300 or more suits LLMs"
    ),
    "slow-scale-up": (
        "{window} s of waiting come on top of the minutes that a replica takes to start; 60 or less is better"
    ),
    "scaling-disabled": "selectPolicy is Disabled in both directions, so this policy does nothing",
    "fixed-replicas": "equals maxReplicas and there is no schedule, so this policy does nothing",
    "missing-as-zero": (
        "Zero takes a pod that cannot be scraped for an idle one, so an outage of monitoring removes "
        "replicas under load; use Hold or Conservative"
    ),
    "short-max-age": (
        "samples are often older than {age} s (scrapes every 15 to 30 s, and their delay), so they would "
        "sometimes be missing; use twice the scrape interval or more"
    ),
    "short-window": (
        "a rate needs two scrapes within {window} s; use at least twice the scrape interval, e.g. 60"
    ),
    "renamed-metric": "vLLM renamed {old} to {new}, and newer versions export the new name only; use {new}",
    "removed-metric": "vLLM has no {old} any more: {instead}",
    "unaggregated-query": (
        "returns one series per pod, model and engine, and they are simply added up here; say what is "
        "meant with sum(...), avg(...) or max(...)"
    ),
    "pod-label-dropped": (
        "aggregates the pod label away, so no sample belongs to a pod as PodsAverage needs; aggregate "
        "by (pod), or use target type AverageValue"
    ),
    "cloud-max-age": (
        "samples older than {limit} s do not count, and Google samples most of its own metrics once a minute "
        "and shows them minutes later, so this one would always be missing; set maxAgeSeconds: 300"
    ),
    "raw-counter": "{name} counts since the pod began and only grows; use rate({name}[1m])",
    "fallback-above-max": "{replicas} is above maxReplicas, so only {highest} will run",
    "fallback-zero": "0 stops serving when monitoring fails; keep enough replicas for a usual day",
}
"""By rule id. Words in braces are filled in."""
