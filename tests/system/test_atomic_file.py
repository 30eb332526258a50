"""Files that users get appear whole or not at all, and never through a link."""

import errno
import os
import stat

import pytest

from deltamark.domain.errors import UsageError
from deltamark.infrastructure.system.atomic_file import whole_file, whole_file_below
from deltamark.infrastructure.system.temporary_files import part_name


@pytest.fixture(params=["nameless", "named"])
def way(request, monkeypatch):
    """Both ways to write a file: without a name where the file system can, and under another name elsewhere."""
    if request.param == "named":
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    return request.param


def put(file, meanwhile=lambda: None, **options):
    with whole_file(file, **options) as stream:
        stream.write(b"new")
        meanwhile()


def put_below(root, meanwhile=lambda: None):
    with whole_file_below(root, "orphans", "a") as stream:
        meanwhile()
        stream.write(b"new")


def full_disk():
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.usefixtures("way")
class TestAFile:
    def test_is_there_when_the_block_has_ended(self, tmp_path):
        file = tmp_path / "a.csv"

        with whole_file(file) as stream:
            stream.write(b"whole")
            assert not file.exists()

        assert file.read_bytes() == b"whole"
        assert os.listdir(tmp_path) == ["a.csv"]

    def test_replaces_the_old_one_at_the_end(self, tmp_path):
        file = tmp_path / "a.csv"
        file.write_bytes(b"old")

        with whole_file(file) as stream:
            stream.write(b"new")
            stream.flush()
            assert file.read_bytes() == b"old"

        assert file.read_bytes() == b"new"
        assert os.listdir(tmp_path) == ["a.csv"]

    def test_leaves_the_old_one_if_the_disk_is_full(self, tmp_path):
        file = tmp_path / "a.csv"
        file.write_bytes(b"old")

        with pytest.raises(UsageError, match=r"a\.csv cannot be written: No space left"):
            put(file, full_disk)

        assert file.read_bytes() == b"old"
        assert os.listdir(tmp_path) == ["a.csv"]

    def test_leaves_nothing_if_it_cannot_be_put_on_the_disk(self, tmp_path, monkeypatch):
        def refuse(_):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        monkeypatch.setattr(os, "fsync", refuse)

        with pytest.raises(UsageError):
            put(tmp_path / "a.csv")

        assert os.listdir(tmp_path) == []

    @pytest.mark.parametrize("is_new", [False, True])
    def test_is_not_written_through_a_link(self, tmp_path, is_new):
        target, link = tmp_path / "target", tmp_path / "a.csv"
        target.write_bytes(b"PRECIOUS")
        link.symlink_to(target)

        with pytest.raises(UsageError, match=r"is a link, not a file|already exists"):
            put(link, is_new=is_new)

        assert target.read_bytes() == b"PRECIOUS"
        assert link.is_symlink()

    def test_is_not_written_through_a_link_that_comes_meanwhile(self, tmp_path):
        target, file = tmp_path / "target", tmp_path / "a.csv"
        target.write_bytes(b"PRECIOUS")

        with pytest.raises(UsageError, match="is a link"):
            put(file, lambda: file.symlink_to(target))

        assert target.read_bytes() == b"PRECIOUS"

    @pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
    def test_does_not_take_the_place_of_a_pipe_or_a_folder(self, tmp_path, make):
        make(tmp_path / "a.csv")

        with pytest.raises(UsageError, match=r"is a (pipe|folder), not a file"):
            put(tmp_path / "a.csv")

    def test_that_must_be_new_replaces_none_that_comes_meanwhile(self, tmp_path):
        file = tmp_path / "a.csv"

        with pytest.raises(UsageError, match="already exists"):
            put(file, lambda: file.write_bytes(b"other"), is_new=True)

        assert file.read_bytes() == b"other"
        assert os.listdir(tmp_path) == ["a.csv"]

    def test_that_must_be_new_is_written_once(self, tmp_path):
        put(tmp_path / "a.csv", is_new=True)

        assert (tmp_path / "a.csv").read_bytes() == b"new"
        assert os.listdir(tmp_path) == ["a.csv"]

    def test_has_the_rights_that_are_asked_for(self, tmp_path):
        before = os.umask(0o027)
        try:
            put(tmp_path / "a.csv")
            put(tmp_path / "key", mode=0o600)
        finally:
            os.umask(before)

        assert stat.S_IMODE((tmp_path / "a.csv").stat().st_mode) == 0o640
        assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600

    def test_below_a_folder_is_not_written_into_a_linked_one(self, tmp_path):
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        root = tmp_path / "root"
        root.mkdir()
        (root / "orphans").symlink_to(elsewhere)

        with (
            pytest.raises(UsageError, match="is a link, not a folder"),
            whole_file_below(root, "orphans", "a") as stream,
        ):
            stream.write(b"new")

        assert list(elsewhere.iterdir()) == []

    def test_below_a_folder_stays_in_it_when_the_folder_is_exchanged(self, tmp_path):
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()

        def exchange():
            (tmp_path / "orphans").rename(tmp_path / "moved")
            (tmp_path / "orphans").symlink_to(elsewhere)

        put_below(tmp_path, exchange)

        assert list(elsewhere.iterdir()) == []
        assert (tmp_path / "moved" / "a").read_bytes() == b"new"


def test_a_file_without_a_name_is_not_seen_while_it_is_written(tmp_path):
    with whole_file(tmp_path / "a.csv") as stream:
        stream.write(b"secret")
        stream.flush()
        assert os.listdir(tmp_path) == []


def test_a_part_that_a_killed_process_left_is_removed_with_the_next_file(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "O_TMPFILE")
    left = tmp_path / part_name()
    left.write_bytes(b"secret")

    put(tmp_path / "a.csv")

    assert os.listdir(tmp_path) == ["a.csv"]
