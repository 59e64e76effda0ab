from __future__ import annotations

import io
import json
import logging
import os
import threading

import pytest

from autoscaler.telemetry.logs import set_up_logs

LOG = logging.getLogger("autoscaler.test")


class Written:
    """What was logged to a stream in memory."""

    def __init__(self, form: str, level: str) -> None:
        self._stream = io.StringIO()
        self.handler = set_up_logs(form, level, self._stream)

    def getvalue(self) -> str:
        self.handler.flush()
        return self._stream.getvalue()


def lines(form: str = "json", level: str = "info") -> Written:
    return Written(form, level)


def test_a_line_is_one_object_that_cloud_logging_understands() -> None:
    stream = lines()
    LOG.warning("status not %s", "written", extra={"policy": "chat/vllm", "replicas": 3})
    parsed = json.loads(stream.getvalue())
    assert parsed.pop("time").endswith("Z")
    assert parsed == {
        "severity": "WARNING",
        "message": "status not written",
        "logger": "autoscaler.test",
        "policy": "chat/vllm",
        "replicas": 3,
    }


def test_a_traceback_stays_on_the_line() -> None:
    stream = lines()
    try:
        raise ValueError("bad\nnews")
    except ValueError:
        LOG.exception("it broke")
    (line,) = stream.getvalue().splitlines()
    parsed = json.loads(line)
    assert parsed["severity"] == "ERROR"
    assert parsed["message"].startswith("it broke\nTraceback")


def test_people_get_text() -> None:
    stream = lines("text")
    LOG.info("New size: 4", extra={"policy": "vllm"})
    assert stream.getvalue().endswith("Z  INFO     New size: 4  policy=vllm\n")


@pytest.mark.parametrize(("level", "shown"), [("debug", 2), ("info", 1), ("warning", 0)])
def test_the_level_is_that_of_our_own_loggers(level: str, shown: int) -> None:
    stream = lines(level=level)
    LOG.debug("more of the same")
    LOG.info("new")
    logging.getLogger("urllib3").info("a library")
    assert len(stream.getvalue().splitlines()) == shown


def test_a_pipe_that_is_not_read_stops_no_caller_and_the_lines_that_were_lost_are_counted() -> None:
    reader, pipe = os.pipe()
    counted: list[int] = []
    with os.fdopen(pipe, "w") as stream:
        handler = set_up_logs("json", "info", stream, limit=20)
        handler.count_losses(counted.append)
        for number in range(5000):
            LOG.info("line %d of many", number)
        lost = sum(counted)
        assert lost > 0
        with os.fdopen(reader) as output:
            eventually_read: list[str] = []
            reading = threading.Thread(target=lambda: eventually_read.extend(output))
            reading.start()
            handler.close()
            stream.close()
            reading.join(10)
    parsed = [json.loads(line) for line in eventually_read]
    marks = [line["lost"] for line in parsed if line["message"] == "log lines were lost"]
    assert sum(marks) == handler.lost == sum(counted)
    assert len(parsed) - len(marks) + sum(marks) == 5000


def test_a_record_that_cannot_be_formatted_is_a_line_that_says_so() -> None:
    stream = lines()
    LOG.info("%d replicas", "three")
    assert "could not be formatted" in json.loads(stream.getvalue())["message"]
