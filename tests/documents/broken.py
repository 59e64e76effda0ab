# ruff: noqa: E501 (a message is one line)
"""Policies that are wrong, each in one way, with what the loader says about it.

An API server refuses the same ones: tests/e2e has the proof.
"""

from __future__ import annotations

from tests.api.build import HEAD


def with_spec(lines: str) -> str:
    """A document whose spec has these lines, the first of them on line 7, and no others."""
    return HEAD + "".join(f"  {line}\n" for line in lines.splitlines())


WRONG_LINES: list[tuple[str, str]] = [
    ("minReplicas: true", "minReplicas: must be an integer from 0 to 2147483647, not the boolean true"),
    ("minReplicas: yes", "minReplicas: must be an integer from 0 to 2147483647, not the boolean true"),
    (
        'minReplicas: "3"',
        'minReplicas: must be an integer from 0 to 2147483647, not the string "3": remove the quotes',
    ),
    ("minReplicas: 3.0", "minReplicas: must be an integer from 0 to 2147483647, not 3.0: write 3"),
    ("minReplicas: 1:30", 'minReplicas: must be an integer from 0 to 2147483647, not the string "1:30"'),
    ("minReplicas: 010", 'minReplicas: must be an integer from 0 to 2147483647, not the string "010"'),
    ("minReplicas: [1]", "minReplicas: must be an integer from 0 to 2147483647, not a list"),
    ("minReplicas: .nan", "minReplicas: must be an integer from 0 to 2147483647, not nan"),
    ("minReplicas: -1", "minReplicas: must be at least 0, is -1"),
    ("minReplicas:", "minReplicas: has no value: give it one, or remove the line"),
    ("minReplicas: 11", "minReplicas: must be at most maxReplicas, which is 10; is 11"),
    ("syncPeriodSeconds: 4000", "syncPeriodSeconds: must be at most 3600, is 4000"),
    ("min_replicas: 1", "min_replicas: is not a field here: did you mean minReplicas?"),
    ("minreplicas: 1", "minreplicas: is not a field here: did you mean minReplicas?"),
    ("min-replicas: 1", "min-replicas: is not a field here: did you mean minReplicas?"),
    ("minReplica: 1", "minReplica: is not a field here: did you mean minReplicas?"),
    (
        "mode: dryrun",
        'mode: must be one of Active, DryRun, Paused, not the string "dryrun"; did you mean DryRun?',
    ),
    ("mode: 3", "mode: must be one of Active, DryRun, Paused, not 3"),
    ("behavior: fast", 'behavior: must be a mapping, not the string "fast"'),
    ("schedules: {}", "schedules: must be a list, not a mapping"),
    (
        "guards: {completeDataForScaleDown: 1}",
        "guards.completeDataForScaleDown: must be true or false, not 1",
    ),
    (
        "guards: {remainingCapacity: {kvCacheUsage: 80}}",
        "guards.remainingCapacity.kvCacheUsage: must be above 0 and at most 1, is 80",
    ),
    (
        "behavior: {scaleUp: {tolerance: -0.1}}",
        "behavior.scaleUp.tolerance: must be at least 0, is -0.1",
    ),
    (
        "behavior: {scaleUp: {tolerance: much}}",
        'behavior.scaleUp.tolerance: must be a quantity such as 10, "850m" or "2k", is the string "much"',
    ),
    (
        "behavior: {scaleUp: {policies: []}}",
        "behavior.scaleUp.policies: is empty: give it at least one entry",
    ),
    (
        "behavior: {scaleUp: {policies: [{type: Pods, value: 1, periodSeconds: 1801}]}}",
        "behavior.scaleUp.policies[0].periodSeconds: must be at most 1800, is 1801",
    ),
    ("zeroRule: v1.37", "zeroRule: goes with semantics: HPA only: remove it, or set semantics"),
    *(
        (
            f"semantics: HPA\n  zeroRule: {given}",
            f'zeroRule: must be one of v1.36, v1.37, not the string "{given}"; did you mean {meant}?',
        )
        for given, meant in (("v1.35", "v1.36"), ("v1.9", "v1.36"), ("v1.40", "v1.37"))
    ),
    ("fallback: {}", "fallback.replicas: is missing: set it to an integer from 0 to 2147483647"),
    (
        "schedules: [{name: a, cron: 0 25 * * *, durationSeconds: 60, minReplicas: 1}]",
        'schedules[0].cron: has a wrong hour field, "0 25 * * *": write five fields: minute (0-59), '
        "hour (0-23), day of month (1-31), month (1-12) and day of week (0-7, SUN-SAT), "
        'e.g. "0 8 * * MON-FRI"',
    ),
    (
        "schedules: [{name: a, cron: 0 2 * * *, timeZone: Europe/Berln, durationSeconds: 60, minReplicas: 1}]",
        'schedules[0].timeZone: must be an IANA time zone, not "Europe/Berln": did you mean Europe/Berlin?',
    ),
    (
        "schedules: [{name: a, cron: 0 2 * * *, durationSeconds: 60}]",
        "schedules[0]: sets neither minReplicas nor maxReplicas: set one or both",
    ),
    (
        "schedules: [{name: a, cron: 0 2 * * *, durationSeconds: 60, minReplicas: 11}]",
        "schedules[0].minReplicas: must be at most the spec's maxReplicas 10, is 11; or set maxReplicas too",
    ),
]
"""A line that a valid policy's spec goes on with, and the problem below ``spec.``"""

WRONG_METRICS: list[tuple[str, str | None]] = [
    ("target: {type: Value, value: 1}", ": none of signal, query, cloudMonitoring is set: set one of them"),
    ("signal: running", ".target: is missing: set it to a mapping of type, averageValue, value"),
    (
        "{signal: running, query: x, target: {type: AverageValue, averageValue: 1}}",
        ".query: signal and query are set: keep one",
    ),
    (
        "{query: x, cloudMonitoring: {filter: f}, target: {type: AverageValue, averageValue: 1}}",
        ".cloudMonitoring: query and cloudMonitoring are set: keep one",
    ),
    (
        "{cloudMonitoring: {}, target: {type: AverageValue, averageValue: 1}}",
        ".cloudMonitoring.filter: is missing: set it to a string",
    ),
    (
        "{cloudMonitoring: {filter: f}, target: {type: PodsAverage, averageValue: 1}}",
        ".target.type: cloudMonitoring belongs to no pod: use type AverageValue or Value, not PodsAverage",
    ),
    (
        "{cloudMonitoring: {filter: f, crossSeriesReducer: REDUCE_SUM}, target: {type: Value, value: 1}}",
        ".cloudMonitoring.crossSeriesReducer: needs aligned series: set perSeriesAligner too, e.g. ALIGN_MEAN",
    ),
    (
        "{cloudMonitoring: {filter: f, perSeriesAligner: ALIGN_RATE}, windowSeconds: 30,"
        " target: {type: Value, value: 1}}",
        ".windowSeconds: Cloud Monitoring aligns over 60 s at least, not 30",
    ),
    (
        "{signal: ttft, target: {type: PodsAverage, averageValue: 1}}",
        ".target.type: ttft is one value over all pods: use type Value, not PodsAverage",
    ),
    (
        "{signal: kvCacheUsage, target: {type: Value, value: 1}}",
        ".target.type: kvCacheUsage is each pod's own share: use type PodsAverage, not Value",
    ),
    (
        "{signal: gatewayQueue, target: {type: PodsAverage, averageValue: 1}}",
        ".target.type: gatewayQueue belongs to no pod: use type AverageValue or Value, not PodsAverage",
    ),
    (
        "{signal: running, type: Object, target: {type: PodsAverage, averageValue: 1}}",
        ".type: does not go with target.type PodsAverage, which is HPA's type Pods: remove it",
    ),
    (
        "{signal: running, quantile: 0.5, target: {type: PodsAverage, averageValue: 1}}",
        ".quantile: goes with the signals ttft and itl only: remove it",
    ),
    (
        '{signal: ttft, quantile: "0.5", target: {type: Value, value: 1}}',
        '.quantile: must be a number between 0 and 1, not the string "0.5": remove the quotes',
    ),
    (
        "{signal: running, target: {type: PodsAverage, value: 1}}",
        ".target: averageValue is missing: type PodsAverage takes averageValue",
    ),
    (
        "{signal: running, target: {type: PodsAverage, averageValue: .inf}}",
        '.target.averageValue: must be a quantity such as 10, "850m" or "2k", is inf',
    ),
    (
        "{signal: running, target: {type: PodsAverage, averageValue: 10 requests}}",
        '.target.averageValue: must be a quantity such as 10, "850m" or "2k", is the string "10 requests"',
    ),
    (
        "{signal: running, target: {type: PodsAverage, averageValue: 9e18}}",
        ".target.averageValue: must be at most 9223372036854775, the most that HPA can hold, is 9e+18",
    ),
    *(
        (
            f'{{signal: running, target: {{type: PodsAverage, averageValue: "{quantity}"}}}}',
            f'.target.averageValue: must be at most 9223372036854775, the most that HPA can hold, is the string "{quantity}"',
        )
        for quantity in ("9223372036854775.5", "9223372036854775001m", "9223372036854775807m")
    ),
    (
        "{signal: running, role: Guard, target: {type: PodsAverage, averageValue: 1}}",
        None,
    ),
    (
        "{signal: running, name: remainingCapacity/running, target: {type: PodsAverage, averageValue: 1}}",
        ".name: must not start with remainingCapacity/, which guards use",
    ),
    (
        "{signal: running, name: rejectedRequests/mine, target: {type: PodsAverage, averageValue: 1}}",
        ".name: must not start with rejectedRequests/, which guards use",
    ),
]
"""The only metric of a spec, and the problem at it; None: the problem is the list's."""
