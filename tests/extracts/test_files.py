import gzip
import hashlib
import os
import re
import socket

import pyarrow as pa
import pytest

from deltamark.domain.errors import SourceError
from deltamark.infrastructure.extracts.csv import cells as csv_cells
from deltamark.infrastructure.extracts.decode import UnpackLimits
from tests.extracts.folder import STRING, states

GOOD = "id,name\nk,a\n"


def refusal(folder, content=None, **more):
    with pytest.raises(SourceError) as caught:
        folder.read(content, **more)
    return str(caught.value)


def test_a_missing_file_is_reported_with_folder_expected_names_and_nearest_name(folder):
    folder.write("Peoples.csv", GOOD)

    message = refusal(folder)

    assert message == (
        f"people.csv: {folder.path} holds no people.csv "
        "(nor .csv.gz, .csv.zst, .parquet, .jsonl, .jsonl.gz, .jsonl.zst or .xlsx); the nearest name "
        "there is Peoples.csv. Nothing was changed. Put the extract there, or correct ConnectionTable."
    )


def test_a_missing_folder_is_reported(folder):
    folder.path.rmdir()

    assert "there is no such folder, and the extract of people should be in it" in refusal(folder)


def test_two_files_for_one_table_are_refused(folder):
    folder.write("people.csv", GOOD)
    folder.write("people.parquet", b"PAR1")

    assert f"{folder.path} holds people.csv and people.parquet: it is not clear which" in refusal(folder)


def test_folders_pipes_and_sockets_are_refused(folder):
    path = folder.path / "people.csv"

    path.mkdir()
    assert "people.csv: this is a folder, not a file" in refusal(folder)
    path.rmdir()

    os.mkfifo(path)
    assert "people.csv: this is a pipe, not a file" in refusal(folder)
    path.unlink()

    with socket.socket(socket.AF_UNIX) as endpoint:
        endpoint.bind(str(path))
        assert "people.csv: " in refusal(folder)


def test_a_file_without_read_permission_is_refused_with_the_reason(folder, monkeypatch):
    folder.write("people.csv", GOOD)

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("deltamark.infrastructure.extracts.files.os.open", refuse)

    assert "people.csv: the file cannot be opened (permission denied). Nothing was changed. Make " in refusal(folder)


def test_a_link_may_lead_elsewhere_in_the_folder_but_not_out_of_it(folder):
    inside = folder.write("people-2024.csv", GOOD)
    link = folder.path / "people.csv"
    link.symlink_to(inside)
    assert states(folder.read()) == {"k": {"P0": "k", "P1": "a"}}
    link.unlink()

    outside = folder.path.parent / "secret.csv"
    outside.write_text(GOOD)
    link.symlink_to(outside)
    assert "this link leads out of" in refusal(folder)
    link.unlink()

    link.symlink_to(folder.path / "nowhere")
    assert "a link that leads nowhere" in refusal(folder)


@pytest.mark.parametrize("table", ["../people", "a/b", "a\\b", "..", "", "x\0y", "/etc/passwd", "*"])
def test_a_connection_table_is_a_plain_name(folder, table):
    with pytest.raises(SourceError, match="not a plain name"):
        folder.read_mapped({"id": STRING}, table=table)


@pytest.mark.parametrize("content", [GOOD, 'id,name\nk,"a"\n'])
def test_a_folder_with_wildcards_and_quotes_in_its_name_is_read(folder, content):
    folder.path = folder.path / 'it\'s [a-z]* {1} "x" é'
    folder.path.mkdir()
    folder.write("people.csv", content)

    assert states(folder.read()) == {"k": {"P0": "k", "P1": "a"}}


def test_column_names_with_sql_and_quotes_are_read(folder):
    name = "x'); drop table cells; --"

    found = folder.read(f'id,"{name}","a""b"\nk,v,w\n', id=STRING, **{name: STRING, 'a"b': STRING})

    assert states(found) == {"k": {"P0": "k", "P1": "v", "P2": "w"}}


@pytest.mark.parametrize("when", ["grown", "replaced", "removed"])
def test_a_file_that_is_changed_while_it_is_read_is_refused(folder, monkeypatch, when):
    path = folder.write("people.csv", GOOD)
    original = csv_cells.detect_dialect

    def disturb(*arguments):
        if when == "grown":
            path.open("a").write("l,b\n")
        else:
            path.unlink()
        if when == "replaced":
            path.write_text(GOOD)
        return original_result

    original_result = None

    def dialect(plain, *arguments, **options):
        nonlocal original_result
        original_result = original(plain, *arguments, **options)
        return disturb()

    monkeypatch.setattr(csv_cells, "detect_dialect", dialect)

    assert re.search("the file (was changed|was replaced|vanished) while it was read|cannot be read", refusal(folder))


def test_the_digest_is_of_the_bytes_as_they_are_stored(folder):
    stored = folder.write("people.csv.gz", gzip.compress(GOOD.encode())).read_bytes()

    read = folder.read().cleansed.read

    assert read.digest == hashlib.sha256(stored).hexdigest()
    assert (read.subject, read.file, read.rows) == ("Person", "people.csv.gz", 1)


def zstd(content):
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return sink.getvalue().to_pybytes()


def test_zstandard_is_read_and_damage_is_reported(folder):
    packed = zstd(GOOD.encode() * 1)
    folder.write("people.csv.zst", packed)
    assert states(folder.read()) == {"k": {"P0": "k", "P1": "a"}}

    folder.write("people.csv.zst", packed[:-3])
    assert "the compressed file is cut off" in refusal(folder)

    folder.write("people.csv.zst", packed + b"junk")
    assert "the compressed file is damaged" in refusal(folder)

    folder.write("people.csv.zst", GOOD)
    assert "this is not a Zstandard file" in refusal(folder)


@pytest.mark.parametrize("limits", [UnpackLimits(ratio_from=1 << 20), UnpackLimits(total=1 << 20)])
@pytest.mark.parametrize(("ending", "pack"), [("gz", gzip.compress), ("zst", zstd)])
def test_110_a_decompression_bomb_is_refused(folder, limits, ending, pack):
    folder.limits = limits
    folder.write(f"people.csv.{ending}", pack(b"x" * (32 << 20)))

    assert "this looks like a decompression bomb" in refusal(folder)


def test_a_usual_compression_ratio_is_accepted(folder):
    folder.limits = UnpackLimits(ratio_from=1 << 10)
    folder.write("people.csv.gz", gzip.compress(b"id,name\n" + os.urandom(4000).hex().encode() + b",x\n"))

    assert folder.read().cleansed.read.rows == 1


def test_an_invalid_encoding_or_delimiter_of_the_mapping_is_refused(folder):
    folder.write("people.csv", GOOD)

    with pytest.raises(SourceError, match="Encoding is not known"):
        folder.read_mapped({"id": STRING}, encoding="klingon")
    with pytest.raises(SourceError, match="Delimiter is not tab, a blank or one sign"):
        folder.read_mapped({"id": STRING}, delimiter=";;")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "UTF-8", "windows-1252"])
def test_declared_encodings_are_read(folder, encoding):
    text = 'id,name\nk,"Zoé\n€"\n'
    folder.write("people.csv", text.encode({"utf-16": "utf-16-le"}.get(encoding, encoding)))

    found = folder.read_mapped({"id": STRING, "name": STRING}, encoding=encoding)

    assert states(found) == {"k": {"P0": "k", "P1": "Zoé\n€"}}


def test_invalid_utf16_is_refused_with_its_line(folder):
    folder.write("people.csv", "\ufeffid,name\nk,a\nl,".encode("utf-16-le") + b"\x00\xd8" + "\n".encode("utf-16-le"))

    assert "people.csv:3: there are bytes that are not UTF-16" in refusal(folder)


@pytest.mark.parametrize("content", ['id\nk\n\n""\nl\n', 'id\r\nk\r\n\r\n""\r\nl\r\n'])
def test_one_column_is_enough(folder, content):
    found = folder.read(content, id=STRING)

    assert found.rows["key"].to_pylist() == ["k", "l"]
    assert found.rows["line"].to_pylist() == [2, 5]
    assert (found.cleansed.passed_over, found.cleansed.messages) == (1, ())


def test_a_header_over_several_lines_and_with_quotes_is_read(folder):
    found = folder.read('"id","full\nname"\r\nk,a\r\n', id=STRING, **{"full\nname": STRING})

    assert found.rows["line"].to_pylist() == [3]
