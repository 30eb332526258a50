import pytest
from extract_folder import Folder


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "extracts"
    path.mkdir()
    return Folder(path)
