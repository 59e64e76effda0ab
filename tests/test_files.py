"""Output files: whole or not at all, and the same bytes for the same text."""

from __future__ import annotations

import gzip
import os
import stat
import threading
from pathlib import Path

import pytest

from autoscaler.errors import InputError
from autoscaler.files import atomic_bytes, atomic_writer, check_output


def text_of(path: Path) -> str:
    data = path.read_bytes()
    return (gzip.decompress(data) if path.suffix == ".gz" else data).decode()


@pytest.mark.parametrize("name", ["out.csv", "out.csv.gz"])
def test_a_file_appears_when_the_block_ends_and_not_before(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with atomic_writer(path) as file:
        file.write("é\n" * 100_000)
        assert not path.exists()
    assert text_of(path) == "é\n" * 100_000
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["out.csv", "out.csv.gz"])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_error_leaves_the_old_file_and_no_litter(
    tmp_path: Path, name: str, error: type[BaseException]
) -> None:
    path = tmp_path / name
    path.write_text("old")

    def interrupted() -> None:
        with atomic_writer(path) as file:
            file.write("new")
            raise error

    with pytest.raises(error):
        interrupted()
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


def test_a_file_that_was_there_is_replaced_also_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    target = tmp_path / "real" / "out.csv"
    target.write_text("old")
    link = tmp_path / "link.csv"
    link.symlink_to(target)
    with atomic_writer(link) as file:
        file.write("new")
    assert link.is_symlink()
    assert target.read_text() == "new"


def test_a_file_gets_the_permissions_that_the_umask_leaves(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with atomic_writer(tmp_path / "out") as file:
            file.write("x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o640


def test_compressed_files_have_the_same_bytes_at_any_time_under_any_name(tmp_path: Path) -> None:
    for name in ("a.gz", "b.gz"):
        with atomic_writer(tmp_path / name) as file:
            file.write("same text\n" * 1000)
    data = (tmp_path / "a.gz").read_bytes()
    assert data == (tmp_path / "b.gz").read_bytes()
    assert data[3:8] == bytes(5)  # no name, no time


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("folder", "is a directory; name a file to write"),
        ("none/out.csv", "cannot be written: the folder '{0}/none' does not exist; make it first"),
        ("file/out.csv", "cannot be written: the folder '{0}/file' is not a directory"),
    ],
)
def test_where_nothing_can_be_written_the_option_is_named(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    path = tmp_path / name
    expected = f"{path}: --json: {message.format(tmp_path)}"
    with pytest.raises(InputError) as early:
        check_output(path, "--json")
    with pytest.raises(InputError) as late, atomic_writer(path, "--json"):
        pytest.fail("the block is not entered")
    assert str(early.value) == str(late.value) == expected


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    with pytest.raises(InputError, match="no permission in the folder"):
        check_output(tmp_path / "out", "--json")


def test_a_name_too_long_for_the_file_system_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"), atomic_writer(tmp_path / ("n" * 300)) as file:
        file.write("x")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that takes no files")
def test_a_folder_that_takes_no_files_is_refused_when_it_refuses() -> None:
    refused = pytest.raises(InputError, match=r"^/proc/out\.json: --json: cannot be written")
    with refused, atomic_writer(Path("/proc/out.json"), "--json") as file:
        file.write("x")


@pytest.mark.parametrize("name", ["-", "/dev/stdout"])
def test_standard_output_is_written_in_order_with_what_was_printed(
    capfd: pytest.CaptureFixture[str], name: str
) -> None:
    print("before")
    with atomic_writer(Path(name)) as file:
        file.write("x,y\n")
    print("after")
    assert capfd.readouterr().out == "before\nx,y\nafter\n"


def test_a_pipe_is_written_directly(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    received: list[str] = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_text()))
    reader.start()
    with atomic_writer(pipe) as file:
        file.write("x")
    reader.join(timeout=10)
    assert received == ["x"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_bytes_appear_as_text_does(tmp_path: Path) -> None:
    path = tmp_path / "out.parquet"
    with atomic_bytes(path) as file:
        file.write(b"\x00\xff")
        assert not path.exists()
    assert path.read_bytes() == b"\x00\xff"
    assert list(tmp_path.iterdir()) == [path]
