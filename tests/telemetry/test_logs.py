from __future__ import annotations

import io
import json
import logging

import pytest

from autoscaler.telemetry.logs import set_up_logs

LOG = logging.getLogger("autoscaler.test")


def lines(form: str = "json", level: str = "info") -> io.StringIO:
    stream = io.StringIO()
    set_up_logs(form, level, stream)
    return stream


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
