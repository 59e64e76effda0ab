"""Rows from files of three formats, and what each of them asks."""

from __future__ import annotations

import gzip
import json
import sys

import pytest

from autoscaler.batch.input_rows import read_rows
from autoscaler.batch.request_builder import RequestBuilder
from autoscaler.errors import InputError, MissingExtraError

ASKING = RequestBuilder("chat", "prompt", {"max_tokens": 5})


def written(tmp_path, name: str, text: str):
    path = tmp_path / name
    path.write_text(text)
    return path


def asks(path, asking: RequestBuilder = ASKING) -> list:
    return list(asking.read(path))


JSON_LINES = '{"prompt": "one", "id": 7}\n\n{"prompt": "two\\nlines"}\n'


def test_json_lines_number_rows_and_skip_blank_lines(tmp_path):
    rows = list(read_rows(written(tmp_path, "in.jsonl", JSON_LINES)))
    assert [(row.number, row.line, row.columns["prompt"]) for row in rows] == [
        (0, 1, "one"),
        (1, 3, "two\nlines"),
    ]


def test_json_lines_may_be_gzip(tmp_path):
    path = tmp_path / "in.jsonl.gz"
    path.write_bytes(gzip.compress(JSON_LINES.encode()))
    assert len(list(read_rows(path))) == 2


def test_a_csv_field_may_hold_lines_commas_and_a_byte_order_mark(tmp_path):
    path = written(tmp_path, "in.csv", '\ufeffid,prompt\na,"one, two\nthree"\nb,four\n')
    assert [(ask.id, ask.body["messages"][0]["content"]) for ask in asks(path)] == [
        ("a", "one, two\nthree"),
        ("b", "four"),
    ]


def test_parquet(tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow.parquet import write_table

    path = tmp_path / "in.parquet"
    messages = [[{"role": "user", "content": f"hi {number}"}] for number in range(3000)]
    write_table(pa.table({"id": list(range(3000)), "messages": messages}), path)
    found = asks(path)
    assert len(found) == 3000
    assert (found[2999].id, found[2999].body["messages"]) == ("2999", messages[2999])


def test_parquet_needs_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"vllm-autoscaler\[parquet\]"):
        list(read_rows(tmp_path / "in.parquet"))


@pytest.mark.parametrize(
    ("columns", "path", "body"),
    [
        ({"prompt": "Hi"}, "/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi"}]}),
        (
            {"messages": [{"role": "user"}], "prompt": 1},
            "/v1/chat/completions",
            {"messages": [{"role": "user"}]},
        ),
        (
            {"body": {"prompt": [1], "max_tokens": 9}, "url": "/v1/completions"},
            "/v1/completions",
            {"prompt": [1]},
        ),
    ],
)
def test_what_a_row_asks(tmp_path, columns, path, body):
    (ask,) = asks(written(tmp_path, "in.jsonl", json.dumps(columns)))
    assert ask.path == path
    assert ask.body == {"max_tokens": columns.get("body", {}).get("max_tokens", 5), **body}


def test_a_prompt_may_be_a_completion_and_stand_in_another_column(tmp_path):
    asking = RequestBuilder("completions", "question", {})
    (ask,) = asks(written(tmp_path, "in.jsonl", '{"question": "Why?"}'), asking)
    assert (ask.path, ask.body) == ("/v1/completions", {"prompt": "Why?"})


@pytest.mark.parametrize(
    ("columns", "expected"), [({"custom_id": "c", "id": "i"}, "c"), ({"id": 0}, "0"), ({}, "0")]
)
def test_the_id_is_the_rows_own_or_its_number(tmp_path, columns, expected):
    (ask,) = asks(written(tmp_path, "in.jsonl", json.dumps({"prompt": "Hi"} | columns)))
    assert ask.id == expected


def test_the_key_tells_what_is_asked_not_in_which_order(tmp_path):
    path = written(
        tmp_path, "in.jsonl", '{"body": {"a": 1, "b": 2}}\n{"body": {"b": 2, "a": 1}}\n{"body": {"a": 1}}'
    )
    first, same, other = asks(path)
    assert first.key == same.key != other.key
    assert asks(path, RequestBuilder("chat", "prompt", {"max_tokens": 6}))[0].key != first.key


def test_half_a_surrogate_pair_is_asked_as_it_is(tmp_path):
    (ask,) = asks(written(tmp_path, "in.jsonl", '{"prompt": "\\ud83d"}'))
    assert ask.body["messages"][0]["content"] == "\ud83d"


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("in.jsonl", '{"prompt": "a"}\n{"prompt": ', "in.jsonl:2: is not valid JSON"),
        ("in.jsonl", "[1]", 'in.jsonl:1: is not a JSON object; write one a line, like {"prompt": "Hi"}'),
        ("in.jsonl", '{"text": "a"}', "in.jsonl:1: prompt: must be text, for every row; the row has text"),
        ("in.jsonl", '{"prompt": 5}', "in.jsonl:1: prompt: must be text"),
        ("in.jsonl", '{"messages": "hi"}', "in.jsonl:1: messages: must be a list"),
        ("in.jsonl", '{"body": "{}"}', "in.jsonl:1: body: must be an object, like that of a request"),
        (
            "in.jsonl",
            '{"body": {}, "url": "x"}',
            "in.jsonl:1: url: 'x' is not a path of a batch; these",
        ),
        ("in.jsonl", '{"body": {}, "url": "/v1/audio/speech"}', "in.jsonl:1: url: '/v1/audio/speech' is not"),
        ("in.jsonl", '{"body": {}, "url": "/v1/completions/"}', "in.jsonl:1: url: '/v1/completions/' is not"),
        (
            "in.jsonl",
            '{"body": {}, "url": ["/v1/completions"]}',
            "in.jsonl:1: url: ['/v1/completions'] is",
        ),
        ("in.jsonl", '{"body": {}, "method": "GET"}', "in.jsonl:1: method: must be POST, or left out"),
        ("in.jsonl", '\n{"body": {"stream": true}}', "in.jsonl:2: body.stream: a batch keeps whole answers"),
        ("in.csv", "prompt,id\na,1\nb\n", "in.csv:3: does not have the header's 2 fields"),
        ("in.csv", "prompt,id\na,1,2\n", "in.csv:2: does not have the header's 2 fields"),
        ("in.csv", 'prompt\n"a\n', "in.csv:1: is not a CSV row"),
        ("in.parquet", "no parquet", "in.parquet: cannot be read"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path, name, text, says):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    with pytest.raises(InputError) as caught:
        asks(written(tmp_path, name, text))
    assert says in str(caught.value)


@pytest.mark.parametrize("path", ["/v1/embeddings", "/v1/score", "/v2/rerank", "/pooling"])
def test_paths_of_other_answers_are_sent_as_they_are(tmp_path, path):
    row = {"url": path, "method": "POST", "body": {"input": "Hi", "stream": False}}
    (ask,) = asks(written(tmp_path, "in.jsonl", json.dumps(row)), RequestBuilder("chat", "prompt", {}))
    assert (ask.path, ask.body) == (path, row["body"])


@pytest.mark.parametrize("name", ["in.csv.gz", "in.parquet.gz", "in.csv.zip", "in.jsonl.zst", "in.jsonl.bz2"])
def test_a_compressed_file_that_cannot_be_read_is_refused_by_its_name(tmp_path, name):
    with pytest.raises(InputError, match="is compressed, which only JSON lines may be, by gzip"):
        asks(tmp_path / name)


@pytest.mark.parametrize("name", ["no.jsonl", "no.csv"])
def test_a_file_that_is_not_there(tmp_path, name):
    with pytest.raises(InputError, match=r"no such file|No such file"):
        asks(tmp_path / name)


def test_bytes_that_are_no_text(tmp_path):
    path = tmp_path / "in.csv"
    path.write_bytes(b"prompt\n\xff\xfe\n")
    with pytest.raises(InputError, match="is not UTF-8"):
        asks(path)
