"""A local device that borrows this environment's Python and engine, so that nothing has to be installed."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from unit.models import tiny_bundle

from edgewright.remote import Remote
from edgewright.transports import LocalTransport


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's own inventory and devices stay out of it."""
    monkeypatch.setenv("EDGEWRIGHT_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("EDGEWRIGHT_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture(scope="session")
def prepared_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("prepared") / "home"
    Remote("prepared", LocalTransport(home), sys.executable).install_runtime()
    return home


@pytest.fixture
def home(prepared_home: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(prepared_home, tmp_path / "home", symlinks=True))


@pytest.fixture
def kitchen(home: Path) -> Iterator[Remote]:
    with Remote("kitchen", LocalTransport(home), sys.executable) as remote:
        yield remote


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return tiny_bundle(tmp_path / "tiny.ewb")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Four labelled sentences, of which the tiny model has three right."""
    path = tmp_path / "data.csv"
    path.write_text(
        "text,label\nturn the lights on,lights_on\nturn it off,lights_off\nthe weather,weather\nlights off,lights_on\n"
    )
    return path
