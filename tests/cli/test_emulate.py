"""``autoscale emulate`` as a process: what it prints, serves and does when it is told to stop."""

from __future__ import annotations

import json
import re
import signal
import urllib.error
import urllib.request

import pytest

from autoscaler.cli.main import main
from tests.cli.emulated import emulate


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_pods_and_gpus_are_served_until_sigterm():
    with emulate("--port", "0", "--pods", "2", "--dcgm-port", "0", "--model", "m") as (process, urls):
        assert list(urls) == ["vllm-0", "vllm-1", "GPU metrics"]
        assert [get(f"{urls[name]}/health")[0] for name in ("vllm-0", "vllm-1")] == [200, 200]
        assert json.loads(get(f"{urls['vllm-1']}/v1/models")[1])["data"][0]["id"] == "m"
        gpus = get(f"{urls['GPU metrics']}/metrics")[1]
        assert re.findall(r'FB_USED\{.*pod="(.+?)"\} 72397.0', gpus) == ["vllm-0", "vllm-1"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_sigterm_lets_a_stream_end_within_the_shutdown_timeout():
    with emulate("--port", "0", "--shutdown-timeout", "30") as (process, urls):
        body = json.dumps({"prompt": "Hi", "max_tokens": 60, "ignore_eos": True, "stream": True}).encode()
        with urllib.request.urlopen(f"{urls['vllm-0']}/v1/completions", body) as answer:
            answer.readline()
            process.send_signal(signal.SIGTERM)
            assert answer.read().endswith(b"data: [DONE]\n\n")
        assert process.wait(30) == 0


def test_it_drains_with_health_up_until_a_second_signal():
    with emulate("--port", "0", "--shutdown-timeout", "3600") as (process, urls):
        body = json.dumps({"prompt": "Hi", "max_tokens": 8000, "ignore_eos": True, "stream": True}).encode()
        with urllib.request.urlopen(f"{urls['vllm-0']}/v1/completions", body) as answer:
            answer.readline()
            process.send_signal(signal.SIGTERM)
            new = json.dumps({"prompt": "Hi", "max_tokens": 5, "ignore_eos": True}).encode()
            while True:
                with urllib.request.urlopen(f"{urls['vllm-0']}/v1/completions", new) as whole:
                    (choice,) = json.load(whole)["choices"]
                if choice["finish_reason"] == "abort":
                    break
            assert get(f"{urls['vllm-0']}/health")[0] == 200
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == -signal.SIGTERM


def test_a_pod_that_starts_says_how_long():
    with emulate("--port", "0", "--startup", "1000") as (_, urls):
        status, body = get(f"{urls['vllm-0']}/v1/models")
        assert (status, json.loads(body)["error"]["message"]) == (503, "The model is still loading.")


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (("--profile", "no-such"), 1, "no-such: no such file, and no profile of this name"),
        (("--startup", "nonsense"), 1, "nonsense: --startup: 'nonsense' is not known"),
        (("--speed", "0"), 2, "--speed"),
        (("--pods", "0"), 2, "--pods"),
    ],
)
def test_what_is_wrong_is_said(capsys, arguments, status, says):
    assert main(["emulate", *arguments]) == status
    assert says in capsys.readouterr().err


def test_a_port_that_is_taken_is_a_wrong_command_line(capsys):
    with emulate("--port", "0") as (_, urls):
        port = urls["vllm-0"].rpartition(":")[2]
        assert main(["emulate", "--port", port]) == 2
        assert "address already in use; choose another port" in capsys.readouterr().err


def test_more_pods_than_ports_are_refused(capsys):
    assert main(["emulate", "--port", "65535", "--pods", "3"]) == 2
    assert "from --port 65535 on there are no 3 ports" in capsys.readouterr().err
