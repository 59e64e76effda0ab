"""What a run writes: exactly the columns that are promised."""

from __future__ import annotations

import csv
import gzip
from math import nan
from pathlib import Path

from simulator.report.csv_files import write_requests_csv, write_timeline_csv
from simulator.vllm.request_table import RequestOutcome, RequestTable
from simulator.world.timeline import TimelinePoint


def requests() -> RequestTable:
    table = RequestTable()
    for arrival_s, prompt, output in [(0.1 + 0.2, 374, 5), (1.0, 20, 1), (2.5, 9_000_000, 3), (3.0, 4, 4)]:
        table.add(arrival_s, prompt, output)
    for row, (queue_s, ttft_s, e2e_s) in enumerate([(0.0, 0.25, 1.25), (0.5, 1 / 3, 1 / 3), (nan, nan, nan)]):
        table.queue_s[row], table.ttft_s[row], table.e2e_s[row] = queue_s, ttft_s, e2e_s
        table.outcome[row] = RequestOutcome.COMPLETED
    table.outcome[2] = RequestOutcome.REJECTED
    table.queue_s[3], table.ttft_s[3] = 1e-7, 0.75  # unfinished after its first token
    table.replica[0], table.replica[1], table.replica[3] = 0, 12, 3
    table.preemptions[3] = 2
    return table


def test_requests_have_empty_cells_for_what_never_happened(tmp_path: Path) -> None:
    write_requests_csv(tmp_path / "r.csv", requests())
    assert (tmp_path / "r.csv").read_text().split("\n") == [
        "arrival_s,prompt_tokens,output_tokens,queue_s,ttft_s,tpot_s,e2e_s,preemptions,replica",
        "0.30000000000000004,374,5,0.000000000,0.250000000,0.250000000,1.250000000,0,0",
        "1.0,20,1,0.500000000,0.333333333,,0.333333333,0,12",
        "2.5,9000000,3,,,,,0,",
        "3.0,4,4,0.000000100,0.750000000,,,2,3",
        "",
    ]


def test_requests_agree_with_the_table_beyond_one_chunk(tmp_path: Path) -> None:
    table = RequestTable()
    for number in range(10_000):
        row = table.add(number / 3, 1 + number, 1 + number % 40)
        table.queue_s[row], table.ttft_s[row], table.e2e_s[row] = number / 7, number / 6, number / 5
        table.outcome[row] = RequestOutcome.COMPLETED
    write_requests_csv(tmp_path / "r.csv.gz", table)
    with gzip.open(tmp_path / "r.csv.gz", "rt", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["arrival_s"]) for row in rows] == list(table.arrival_s)
    assert [int(row["prompt_tokens"]) for row in rows] == list(table.prompt_tokens)
    for number, row in enumerate(rows):
        tpot_s = table.tpot_s(number)
        assert row["tpot_s"] == ("" if tpot_s is None else f"{tpot_s:.9f}")


def test_a_timeline_has_exactly_its_columns(tmp_path: Path) -> None:
    points = [
        TimelinePoint(0.0, 0.0, 1, 1, 1, 0, 0, 0.0, 0),
        TimelinePoint(15.0, 2.2, 3, 3, 1, 7, 2, 0.125, 4),
    ]
    write_timeline_csv(tmp_path / "t.csv", points)
    assert (tmp_path / "t.csv").read_text() == (
        "time_s,demand_rps,desired,ordered,ready,running,waiting,kv_usage\n"
        "0.0,0.0,1,1,1,0,0,0.0\n"
        "15.0,2.2,3,3,1,7,2,0.125\n"
    )
