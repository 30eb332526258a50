"""An extract is opened once; all that is read of it, and its digest, come from that open file."""

import contextlib
import hashlib
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from deltamark.domain.errors import SourceError
from deltamark.infrastructure.extracts import copies, files, typed_cells
from deltamark.infrastructure.extracts.csv import cells as csv_cells
from tests.extracts.folder import states

OWN = "id,name\nk,own\n"
FOREIGN = "id,name\nk,not\n"


def table(name):
    return pa.table({"id": ["k"], "name": [name]})


def write(folder, file, *, own=True):
    if file.endswith(".parquet"):
        pq.write_table(table("own" if own else "not"), folder.path / file)
    else:
        folder.write(file, OWN if own else FOREIGN)
    return folder.path / file


@pytest.fixture
def meanwhile(monkeypatch):
    """Does something when the extract was opened and before its rows are read, once; and something when they were."""

    def during(before, after=lambda: None):
        pending = [before]
        fetch = {kind: kind.fetch for kind in (csv_cells.CsvCells, typed_cells.TypedCells)}

        def patched(kind):
            def fetched(cells, *arguments):
                is_first = bool(pending)
                if is_first:
                    pending.pop()()
                rows = fetch[kind](cells, *arguments)
                if is_first:
                    after()
                return rows

            return fetched

        for kind in fetch:
            monkeypatch.setattr(kind, "fetch", patched(kind))

    return during


@pytest.mark.parametrize("file", ["people.csv", "people.parquet"])
def test_a_file_that_is_exchanged_and_put_back_is_the_one_that_is_read(folder, file, meanwhile):
    own, away = write(folder, file), folder.path / "away"
    foreign = write(folder, f"foreign-{file}", own=False)

    def exchange():
        own.rename(away)
        foreign.rename(own)

    def put_back():
        own.unlink()
        away.rename(own)

    meanwhile(exchange, put_back)
    found = folder.read(None)

    assert states(found) == {"k": {"P0": "k", "P1": "own"}}
    assert found.cleansed.read.digest == hashlib.sha256(own.read_bytes()).hexdigest()


def test_a_file_that_stays_exchanged_is_refused(folder, meanwhile):
    own, foreign = write(folder, "people.csv"), write(folder, "foreign.csv", own=False)
    meanwhile(lambda: foreign.rename(own))

    with pytest.raises(SourceError, match="was replaced while it was read"):
        folder.read(None)


def written_in_place(file, content):
    """Writes to a file and sets back its time of modification; only the time of its last change shows it."""
    before = file.stat()

    def write():
        while file.stat().st_ctime_ns == before.st_ctime_ns:  # the clock of a file system has ticks
            with file.open("r+b") as stream:  # as long as before, so that no other thread sees it cut off
                stream.write(content.encode())
            os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))

    return write


def test_a_file_that_was_written_to_in_place_is_read_again(folder, meanwhile):
    own = write(folder, "people.csv")
    meanwhile(written_in_place(own, FOREIGN))

    found = folder.read(None)

    assert states(found) == {"k": {"P0": "k", "P1": "not"}}
    assert found.cleansed.read.digest == hashlib.sha256(FOREIGN.encode()).hexdigest()


def test_a_file_that_never_rests_is_refused(folder, monkeypatch):
    own = write(folder, "people.csv")
    read = csv_cells.CsvCells.fetch
    names = iter(["one", "two", "six"])

    def disturbed(*arguments):
        written_in_place(own, f"id,name\nk,{next(names)}\n")()
        return read(*arguments)

    monkeypatch.setattr(csv_cells.CsvCells, "fetch", disturbed)

    with pytest.raises(SourceError, match="was changed while it was read"):
        folder.read(None)


def test_a_file_whose_status_alone_changes_is_read(folder, monkeypatch):
    own = write(folder, "people.csv")
    read = csv_cells.CsvCells.fetch

    def disturbed(*arguments):
        written_in_place(own, OWN)()
        return read(*arguments)

    monkeypatch.setattr(csv_cells.CsvCells, "fetch", disturbed)

    assert states(folder.read(None)) == {"k": {"P0": "k", "P1": "own"}}


def test_another_link_to_a_file_that_is_read_does_no_harm(folder, meanwhile):
    own = write(folder, "people.csv")

    def link():
        before = own.stat().st_ctime_ns
        while own.stat().st_ctime_ns == before:
            (folder.path / "backup").unlink(missing_ok=True)
            (folder.path / "backup").hardlink_to(own)

    meanwhile(link)

    assert states(folder.read(None)) == {"k": {"P0": "k", "P1": "own"}}


def test_files_of_the_same_size_and_time_are_told_apart(folder):
    first = write(folder, "people.parquet")
    status = first.stat()
    assert states(folder.read(None))["k"]["P1"] == "own"
    second = write(folder, "people.parquet", own=False)
    os.utime(second, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert second.stat().st_size == status.st_size

    assert states(folder.read(None))["k"]["P1"] == "not"


def test_a_folder_that_is_exchanged_for_a_link_is_refused(folder, monkeypatch):
    inner, outside = folder.path / "day", folder.path.parent / "outside"
    for place in (inner, outside):
        place.mkdir()
        (place / "x.csv").write_text(OWN if place is inner else FOREIGN)
    (folder.path / "people.csv").symlink_to("day/x.csv")
    located = files.locate_extract

    def exchanged(*arguments):
        found = located(*arguments)
        inner.rename(folder.path / "yesterday")
        inner.symlink_to(outside)
        return found

    monkeypatch.setattr(files, "locate_extract", exchanged)

    with pytest.raises(SourceError, match="cannot be opened"):
        folder.read(None)


@pytest.mark.parametrize("file", ["people.csv", "people.csv.gz", "people.csv.zst", "people.parquet"])
def test_extracts_are_read_where_open_files_have_no_path(folder, monkeypatch, file):
    monkeypatch.setattr(copies, "path_of_descriptor", lambda _: None)
    if file.endswith((".gz", ".zst")):
        compress = "gzip" if file.endswith(".gz") else "zstd"
        with pa.CompressedOutputStream(str(folder.path / file), compress) as stream:
            stream.write(b'id,name\nk,"own"\n')
    else:
        write(folder, file)

    assert states(folder.read(None)) == {"k": {"P0": "k", "P1": "own"}}


def test_no_copy_of_an_extract_has_a_name(folder, tmp_path, monkeypatch, meanwhile):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    seen = []
    meanwhile(lambda: None, lambda: seen.extend(name for _, _, names in os.walk(temporary) for name in names))

    with contextlib.suppress(SourceError):
        folder.read('id,name\nk,"a\nb"\n')

    assert seen == []
