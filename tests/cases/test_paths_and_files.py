"""What is read is the file that is named, and nothing is written through a link."""

import gzip
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

FOLDERS = [
    "in[12]",
    "in?",
    "in*",
    "{in,out}",
    "~",
    "%41",
    "**",
    "id=7",
    "it's",
    "-in",
    "in;x",
    "$HOME",
    "in.gz",
    "ü \u202e",
]


def names(case, *options):
    ran = case.command(*options, "run", "Load")
    assert ran.status == 0, ran.err
    return [row["properties"]["N"] for row in case.exported("P")]


def write(folder, ending, *rows):
    text = "id,name\n" + "".join(f"{key},{name}\n" for key, name in rows)
    folder.mkdir(parents=True, exist_ok=True)
    if ending == ".parquet":
        keys, values = zip(*rows, strict=True)
        pq.write_table(pa.table({"id": keys, "name": values}), folder / "p.parquet")
    elif ending == ".csv.gz":
        (folder / "p.csv.gz").write_bytes(gzip.compress(text.encode()))
    elif ending == ".csv.zst":
        (folder / "p.csv.zst").write_bytes(pa.compress(text.encode(), "zstd", asbytes=True))
    else:
        (folder / "p.csv").write_text(text)


def test_a_folder_whose_name_is_a_pattern_is_the_folder_of_that_name(case):
    case = case("39-pattern-in-a-folder-name")

    assert names(case, "--export-output", "in[12]") == ["own", "own"]


def test_a_link_to_a_name_that_is_a_pattern_reads_nothing_outside(case):
    case = case("40-link-then-pattern")
    inside = case.folder / "inside"
    (inside / "p.parquet").symlink_to("d[a]/x.parquet")
    (inside / "da").mkdir()
    (inside / "da" / "x.parquet").symlink_to(case.folder / "outside" / "o.parquet")

    assert set(names(case, "--export-output", str(inside))) == {"own"}


@pytest.mark.many
@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".csv.zst", ".parquet"])
def test_folders_of_any_name_are_read_and_no_others(case, ending):
    case = case("39-pattern-in-a-folder-name")
    for foreign in ("in", "in1", "in12", "inx", "A", "home", "out"):
        write(case.folder / foreign, ending, ("k", "FOREIGN"))

    for number, folder in enumerate(FOLDERS):
        shutil.rmtree(case.folder / folder, ignore_errors=True)
        write(case.folder / folder, ending, ("k", f"own {number}"))
        assert names(case, "--export-output", folder) == [f"own {number}"]


def test_temporary_folders_of_any_name_are_used(case, monkeypatch):
    case = case("39-pattern-in-a-folder-name")
    temporary = case.folder / "t[a]*{b}"
    temporary.mkdir()
    (case.folder / "ta").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))

    for ending in (".csv.gz", ".csv.zst"):
        folder = case.folder / f"in{ending}"
        write(folder, ending, ("k", f'"{ending}"'))  # in quotes: unpacked, and written anew
        assert names(case, "--export-output", str(folder)) == [ending]


def test_the_file_of_orphans_is_not_written_through_a_link(case):
    case = case("41-orphans-through-a-link")
    precious = case.folder / "victim"
    precious.write_text("PRECIOUS\n")
    store = case.folder / "store"  # stands for any file whose content nobody may alter
    store.write_bytes(b"STORE")
    for step, target in ((1, precious), (2, store)):
        orphans = case.exports(step) / "orphans"
        orphans.mkdir()
        (orphans / f"UM-run{step}.csv").symlink_to(target)

        ran = case.run(step)

        assert ran.status == 0, ran.err
        assert not (orphans / f"UM-run{step}.csv").is_symlink()
        assert (orphans / f"UM-run{step}.csv").read_text().startswith('"line"')
    assert precious.read_text() == "PRECIOUS\n"
    assert store.read_bytes() == b"STORE"
    assert [run["run"] for run in case.command("runs", "--format", "jsonl").documents] == [1, 2]
    assert case.command("verify").status == 0


def test_the_folder_of_orphans_may_not_be_a_link(case):
    case = case("41-orphans-through-a-link")
    elsewhere = case.folder / "elsewhere"
    elsewhere.mkdir()
    (case.exports(1) / "orphans").symlink_to(elsewhere)

    ran = case.run(1)

    assert ran.status == 1
    assert "orphans is a link, not a folder" in ran.err
    assert list(elsewhere.iterdir()) == []
    assert case.exported("U") == []


def test_a_dry_run_writes_no_file_of_orphans(case):
    case = case("41-orphans-through-a-link")

    ran = case.run(1, "Load", "--dry-run")

    assert "1 link of UM to missing resources: a dry run writes no file of them" in ran.err
    assert not (case.exports(1) / "orphans").exists()


@pytest.mark.parametrize("kind", ["link without a target", "hard link"])
def test_whatever_stands_for_the_file_of_orphans_is_replaced(case, kind):
    case = case("41-orphans-through-a-link")
    (case.exports(1) / "orphans").mkdir()
    file, other = case.exports(1) / "orphans" / "UM-run1.csv", case.folder / "other"
    if kind == "hard link":
        other.write_text("PRECIOUS")
        file.hardlink_to(other)
    else:
        file.symlink_to(other)

    assert case.run(1).status == 0

    assert file.read_text().startswith('"line"')
    assert other.read_text() == "PRECIOUS" if kind == "hard link" else not other.exists()
