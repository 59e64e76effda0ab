"""A text is news when it differs from the last one, and so is the end of trouble."""

from __future__ import annotations

from autoscaler.telemetry.log_once import News


def test_a_text_is_news_when_it_changes() -> None:
    news = News()
    heard = [news.is_new(text) for text in ["", "refused", "refused", "timed out", "", "", "refused"]]
    assert heard == [False, True, False, True, True, False, True]
