"""What temporary folders and files leave behind, whatever becomes of their process."""

import os
import signal
import stat
import subprocess
import sys

import pytest

from deltamark.infrastructure.system import temporary_files
from deltamark.infrastructure.system.temporary_files import (
    TemporaryFolder,
    nameless_file,
    part_name,
    remove_left_behind,
    temporary_folder,
)

HOLD = """
import sys, time
from deltamark.infrastructure.system.temporary_files import TemporaryFolder
folder = TemporaryFolder()
(folder.path / "data").write_text("secret")
print(folder.path, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def process(place):
    started = subprocess.Popen([sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    started.stdout.readline()
    yield started
    started.kill()
    started.communicate()


def test_a_folder_is_for_its_user_alone_and_removed_at_the_end(place):
    with temporary_folder() as folder:
        assert folder.parent == place
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (folder / "data").write_text("secret")

    assert os.listdir(place) == []


def test_a_file_without_a_name_is_nowhere(place):
    with nameless_file() as stream:
        stream.write(b"secret")
        assert os.listdir(place) == []


def test_what_a_killed_process_left_is_removed(place, process):
    assert os.listdir(place)
    process.send_signal(signal.SIGKILL)
    process.wait()

    remove_left_behind()

    assert os.listdir(place) == []


def test_what_a_living_process_has_is_left_alone(place, process):
    folder = TemporaryFolder()

    remove_left_behind()

    assert len(os.listdir(place)) == 2
    folder.close()


def test_what_belongs_to_others_is_left_alone(place, monkeypatch):
    (place / ".deltamark-temporary-abcd1234").mkdir()
    user = os.geteuid()
    monkeypatch.setattr(temporary_files.os, "geteuid", lambda: user + 1)

    remove_left_behind()

    assert os.listdir(place) == [".deltamark-temporary-abcd1234"]


def test_links_files_and_folders_of_other_names_are_left_alone(place):
    other = place / "other"
    other.mkdir()
    (other / "precious").write_text("PRECIOUS")
    (place / ".deltamark-temporary-abcd1234").symlink_to(other)
    (place / ".deltamark-temporary-abcd1235").write_text("PRECIOUS")
    (place / part_name()).mkdir()
    (place / "deltamark-stores").mkdir()
    (place / ".deltamark-temporary-stores-of-mine").mkdir()
    before = sorted(os.listdir(place))

    remove_left_behind()

    assert sorted(os.listdir(place)) == before
    assert (other / "precious").exists()


def test_a_folder_that_is_removed_before_it_is_locked_is_made_again(place, monkeypatch):
    made = temporary_files.tempfile.mkdtemp
    raced = []

    def mkdtemp(**options):
        path = made(**options)
        if not raced:
            raced.append(path)
            remove_left_behind()
        return path

    monkeypatch.setattr(temporary_files.tempfile, "mkdtemp", mkdtemp)

    with temporary_folder() as folder:
        assert folder.is_dir()
        assert str(folder) != raced[0]


def test_a_forked_process_does_not_remove_the_folder(place):
    folder = TemporaryFolder()

    child = os.fork()
    if not child:
        folder.close()
        os._exit(0)
    os.waitpid(child, 0)

    assert folder.path.is_dir()
    folder.close()
    assert os.listdir(place) == []


def test_the_folders_of_mine_can_be_swept_in_a_place_that_is_not_there(tmp_path):
    remove_left_behind(tmp_path / "nowhere")
