"""The server in simulated time: what leaves it, and when, is what the engine predicts."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.emulator.serving import Generation, QueueFullError, Serving
from simulator.vllm.engine import FastReplica
from simulator.vllm.profile import load_profile
from simulator.vllm.request_table import RequestTable
from tests.simulator.profiles import make_profile


class Diary:
    """A ``ServingObserver`` that writes down what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.prompt_tokens = self.output_tokens = 0

    def first_token(self, answer: Generation) -> None:
        self.lines.append(f"first {answer.row}")

    def run(self, prompt_tokens, sequences, steps, first_step_s, growth_s) -> None:
        assert first_step_s > 0 or not sequences
        assert growth_s >= 0
        self.prompt_tokens += prompt_tokens
        self.output_tokens += sequences * steps

    def finished(self, answer: Generation, queue_s: float) -> None:
        assert queue_s >= 0
        self.lines.append(f"finished {answer.row}")

    def aborted(self) -> None:
        self.lines.append("aborted")


def server(**profile) -> tuple[Serving, Diary]:
    diary = Diary()
    return Serving(make_profile(**profile), diary, "vllm-0", 0.0), diary


def ask(serving: Serving, prompt: int, output: int, now: float) -> Generation:
    return serving.submit(prompt, output, output, "length", now)


def test_a_lone_answer_grows_by_a_token_each_step_of_10_ms():
    serving, diary = server()
    answer = ask(serving, 100, 5, 1.0)
    grown = []
    for now in (1.0, 1.009, 1.0101, 1.0199, 1.0201, 1.0301, 1.0401, 1.0499, 1.0501, 9.0):
        serving.advance(now)
        grown.append(serving.tokens(answer))
    assert grown == [0, 0, 1, 1, 2, 3, 4, 4, 5, 5]
    assert answer.first_at == pytest.approx(1.010)
    assert answer.done_at == pytest.approx(1.050)
    assert diary.lines == ["first 0", "finished 0"]
    assert (diary.prompt_tokens, diary.output_tokens) == (100, 4)  # the prompt's step gives the first one
    assert serving.in_flight == 0
    assert serving.next_event() == inf


def test_of_24_requests_at_once_a_limit_of_6_refuses_18_and_soon_the_gauges_look_idle():
    """As of a real vLLM 0.32 with --max-num-queued-reqs 6: running 2, waiting 0, and 18 times 503."""
    serving, diary = server(max_num_seqs=4, max_num_queued_reqs=6)
    refused = 0
    for output in [20, 20, 20, 20, 3000, 3000] * 4:
        try:
            ask(serving, 10, output, 0.0)
        except QueueFullError:
            refused += 1
    replica = serving.replica
    assert (refused, replica.refused) == (18, 18)
    serving.advance(0.1)
    assert (replica.running, replica.waiting(0.1)) == (4, 2)
    serving.advance(2.0)
    assert (replica.running, replica.waiting(2.0)) == (2, 0)
    assert diary.lines.count("finished 0") == 1
    ask(serving, 10, 5, 2.0)
    assert replica.refused == 18


def test_the_last_token_comes_with_the_answers_end_not_with_the_engines():
    """The API server needs 5 ms more, and 2 ms for the request."""
    serving, _ = server(output_delay_ms=5.0, request_overhead_ms=2.0, async_scheduling=True)
    answer = ask(serving, 10, 3, 0.0)
    serving.advance(0.030)
    assert serving.in_flight == 0
    assert serving.tokens(answer) == 2
    assert serving.next_event() == answer.done_at > 0.030
    serving.advance(answer.done_at)
    assert serving.tokens(answer) == 3


def test_an_aborted_answer_ends_with_the_tokens_that_have_left_and_stays_so():
    serving, diary = server()
    running, ended = ask(serving, 100, 50, 0.0), ask(serving, 100, 2, 0.0)
    serving.advance(0.055)
    late = ask(serving, 100, 50, 0.055)
    serving.abort_all(0.057)
    for now in (0.057, 0.1, 9.0):
        serving.advance(now)
        assert [serving.tokens(one) for one in (running, ended, late)] == [5, 2, 0]
    assert [(one.output, one.reason) for one in (running, ended, late)] == [
        (5, "abort"),
        (2, "length"),
        (0, "abort"),
    ]
    assert (serving.in_flight, serving.next_event()) == (0, inf)
    assert diary.lines.count("aborted") == 2


def test_a_preempted_answer_keeps_the_tokens_that_have_left():
    serving, diary = server(kv_cache_tokens=160, max_num_batched_tokens=160)
    answers = [ask(serving, 40, 60, 0.0), ask(serving, 40, 60, 0.0)]
    sent = [0, 0]
    for tick in range(1, 400):
        serving.advance(tick * 0.005)
        for number, answer in enumerate(answers):
            sent[number] = max(sent[number], serving.tokens(answer))
    assert serving.preemptions > 0
    assert sent == [60, 60]
    assert sorted(diary.lines) == ["finished 0", "finished 1", "first 0", "first 1"]


REQUESTS = st.lists(
    st.tuples(st.floats(0.0, 0.3), st.integers(1, 3000), st.integers(1, 200)), min_size=1, max_size=20
)


@settings(max_examples=30)
@given(REQUESTS, st.floats(0.005, 0.1))
def test_asking_in_between_changes_nothing_that_the_engine_predicts(gaps, tick):
    profile = load_profile("gemma2-9b-h100")
    table = RequestTable()
    replica = FastReplica(profile, table, "vllm-0", 0, 0.0)
    serving = Serving(profile, Diary(), "vllm-0", 0.0)
    now, answers = 0.0, []
    for gap, prompt, output in gaps:
        for step in range(int(gap / tick)):
            serving.advance(now + step * tick)
            assert all(0 <= serving.tokens(answer) <= answer.output for answer in answers)
        now += gap
        replica.advance(now)
        replica.submit(table.add(now, prompt, output), now)
        answers.append(ask(serving, prompt, output, now))
    while (due := serving.next_event()) < inf:
        serving.advance(due)
    while replica.in_flight:
        replica.advance(replica.run_end)
    assert [a.first_at - a.arrived_at for a in answers] == pytest.approx(list(table.ttft_s), abs=1e-12)
    assert [a.done_at - a.arrived_at for a in answers] == pytest.approx(list(table.e2e_s), abs=1e-12)
    assert [serving.tokens(answer) for answer in answers] == [answer.output for answer in answers]


class TestAClientThatLeaves:
    def test_while_it_waits_is_dropped(self):
        serving, diary = server(max_num_seqs=1)
        stays, leaves = ask(serving, 10, 20, 0.0), ask(serving, 10, 20, 0.0)
        serving.abort(leaves, 0.05)
        assert serving.replica.in_flight == 1
        serving.advance(1.0)
        assert stays.done_at == pytest.approx(0.2)
        assert diary.lines == ["first 0", "aborted", "finished 0"]

    @pytest.mark.parametrize("asynchronous", [False, True])
    def test_while_it_runs_ends_with_the_next_token_and_frees_its_blocks(self, asynchronous):
        serving, diary = server(async_scheduling=asynchronous)
        leaves = ask(serving, 100, 5000, 0.0)
        serving.abort(leaves, 1.003)
        assert serving.replica.in_flight == 1
        serving.advance(1.011)
        assert serving.replica.in_flight == 0
        serving.advance(1.1)
        assert serving.replica.kv_usage(1.1) == 0.0
        assert serving.replica.tokens_generated_until(1.1) == 101
        assert diary.lines == ["first 0", "aborted"]

    def test_while_its_prompt_is_read_ends_with_it(self):
        serving, diary = server(max_num_batched_tokens=512)
        leaves = ask(serving, 1200, 500, 0.0)
        serving.abort(leaves, 0.015)
        serving.advance(0.031)
        assert serving.replica.in_flight == 0
        assert diary.lines == ["aborted"]

    def test_after_its_answer_is_computed_is_no_abort(self):
        serving, diary = server(output_delay_ms=5.0)
        answer = ask(serving, 10, 3, 0.0)
        serving.abort(answer, 0.031)
        assert diary.lines == ["first 0", "finished 0"]

    @settings(max_examples=30)
    @given(REQUESTS, st.randoms(use_true_random=False), st.booleans())
    def test_leaves_the_others_whole(self, gaps, chance, asynchronous):
        """Whoever leaves whenever, with room for one long request: the rest get all their tokens."""
        serving, _ = server(kv_cache_tokens=3200, async_scheduling=asynchronous)
        now, answers, gone = 0.0, [], []
        for gap, prompt, output in gaps:
            now += gap
            answers.append(ask(serving, prompt, output, now))
            if chance.random() < 0.5:
                leaver = chance.choice(answers)
                now += chance.random() * 0.1
                serving.abort(leaver, now)
                gone.append(leaver)
        while (due := serving.next_event()) < inf:
            serving.advance(due)
        assert serving.replica.in_flight == 0
        assert serving.replica.kv_usage(serving.now) == 0.0
        assert all(serving.tokens(a) == a.output for a in answers if a not in gone)
