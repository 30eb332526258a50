import pytest

from tests.extracts.folder import Folder


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "extracts"
    path.mkdir()
    return Folder(path)
