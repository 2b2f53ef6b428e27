"""The command that adds an extra is made from how sagechain was installed, and runs as it is printed."""

import json
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from sagechain.llms import errors, install_command

METADATA = """\
Metadata-Version: 2.4
Name: sagechain
Version: 0.1.0
Requires-Dist: anyio>=4
Requires-Dist: colorama; sys_platform == "amiga"
Requires-Dist: xllamacpp>=2026.10; extra == "local"
Requires-Dist: pip; extra == "local"
Requires-Dist: torch; extra == "transformers"
Requires-Dist: psycopg[binary,pool]; extra == "postgres"
Requires-Dist: sagechain[transformers]; extra == "pretraining"
Requires-Dist: datasets>=5; extra == "pretraining"
"""
WITHOUT_ORIGIN = '"xllamacpp>=2026.10" pip'
Installed = Any


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installed:
    """Put an installed distribution with this origin before all others."""

    def install(origin: object) -> None:
        folder = tmp_path / "site" / "sagechain-0.1.0.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text(METADATA)
        if origin is not None:
            (folder / "direct_url.json").write_text(json.dumps(origin))
        monkeypatch.setattr(sys, "path", [str(tmp_path / "site")])

    monkeypatch.setattr(sys, "executable", "/env/bin/python")
    monkeypatch.setattr(shutil, "which", {"pip": "/env/bin/pip"}.get)
    return install


def test_a_checkout_is_installed_again_editable(installed: Installed, tmp_path: Path) -> None:
    installed({"url": tmp_path.as_uri(), "dir_info": {"editable": True}})
    assert install_command("local") == f'pip install -e "{tmp_path}[local]"'


def test_a_folder_that_was_installed_as_a_copy_is_named_without_e(installed: Installed, tmp_path: Path) -> None:
    installed({"url": tmp_path.as_uri(), "dir_info": {}})
    assert install_command("local") == f'pip install "{tmp_path}[local]"'


def test_a_wheels_file_is_named_while_it_exists(installed: Installed, tmp_path: Path) -> None:
    wheel = tmp_path / "my wheels" / "sagechain-0.1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    installed({"url": wheel.as_uri(), "archive_info": {"hashes": {}}})
    assert install_command("local") == f"pip install {WITHOUT_ORIGIN}"
    wheel.touch()
    assert install_command("local") == f'pip install "{wheel}[local]"'


def test_a_path_with_characters_of_the_shell_stays_one_word(installed: Installed, tmp_path: Path) -> None:
    folder = tmp_path / "a $HOME `id` \"b\" 'c' %41"
    folder.mkdir()
    installed({"url": folder.as_uri(), "dir_info": {"editable": True}})
    assert shlex.split(install_command("local")) == ["pip", "install", "-e", f"{folder}[local]"]


@pytest.mark.parametrize(
    ("origin", "requirement"),
    [
        (
            {"url": "https://host/me/repo.git", "vcs_info": {"vcs": "git", "commit_id": "c0ffee"}},
            "sagechain[local] @ git+https://host/me/repo.git@c0ffee",
        ),
        (
            {"url": "ssh://git@host/repo", "vcs_info": {"vcs": "git", "commit_id": "c0ffee"}, "subdirectory": "a/b"},
            "sagechain[local] @ git+ssh://git@host/repo@c0ffee#subdirectory=a/b",
        ),
        (
            {"url": "file:///gone/repo", "vcs_info": {"vcs": "git", "commit_id": "c0ffee"}},
            "sagechain[local] @ git+file:///gone/repo@c0ffee",
        ),
        (
            {"url": "https://host/sagechain-0.1.0-py3-none-any.whl", "archive_info": {}},
            "sagechain[local] @ https://host/sagechain-0.1.0-py3-none-any.whl",
        ),
    ],
)
def test_an_address_is_named_with_its_commit(installed: Installed, origin: object, requirement: str) -> None:
    installed(origin)
    assert install_command("local") == f'pip install "{requirement}"'


@pytest.mark.parametrize(
    "url",
    ["https://s3cret@host/repo", "https://me:s3cret@host/repo", "https://host/sagechain.whl?X-Amz-Signature=s3cret"],
)
def test_an_address_with_a_secret_is_never_shown(installed: Installed, url: str) -> None:
    installed({"url": url, "archive_info": {}})
    assert install_command("local") == f"pip install {WITHOUT_ORIGIN}"


def test_without_a_known_origin_the_packages_of_the_extra_are_named(installed: Installed) -> None:
    installed(None)
    assert install_command("local") == f"pip install {WITHOUT_ORIGIN}"
    assert install_command("postgres") == 'pip install "psycopg[binary,pool]"'
    assert install_command("pretraining") == 'pip install torch "datasets>=5"'


def test_a_copy_of_the_metadata_in_the_working_folder_does_not_hide_the_origin(
    installed: Installed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Building in a checkout leaves `sagechain.egg-info` there, which Python finds first when it starts in that folder."""
    installed({"url": tmp_path.as_uri(), "dir_info": {"editable": True}})
    (tmp_path / "sagechain.egg-info").mkdir()
    (tmp_path / "sagechain.egg-info" / "PKG-INFO").write_text(METADATA)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    assert install_command("local") == f'pip install -e "{tmp_path}[local]"'


@pytest.mark.parametrize(
    ("found", "start"),
    [
        ({"pip": "/env/bin/pip"}, "pip install "),
        ({"pip": "/usr/bin/pip"}, "/env/bin/python -m pip install "),
        ({}, "/env/bin/python -m pip install "),
    ],
)
def test_the_environment_that_runs_is_the_one_that_is_changed(
    installed: Installed, monkeypatch: pytest.MonkeyPatch, found: dict[str, str], start: str
) -> None:
    installed(None)
    (Path(sys.path[0]) / "pip.py").touch()
    monkeypatch.setattr(shutil, "which", found.get)
    assert install_command("local") == start + WITHOUT_ORIGIN


def test_an_environment_without_pip_is_changed_by_uv(installed: Installed, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(None)
    monkeypatch.delitem(sys.modules, "pip", raising=False)
    monkeypatch.setattr(shutil, "which", {"uv": "/usr/bin/uv"}.get)
    assert install_command("local") == f"uv pip install --python /env/bin/python {WITHOUT_ORIGIN}"


def test_the_error_of_an_absent_extra_is_one_line_with_the_command(installed: Installed, tmp_path: Path) -> None:
    installed({"url": tmp_path.as_uri(), "dir_info": {"editable": True}})
    error = errors.MissingExtra("local:smollm2", "local")
    assert str(error) == (
        f'local:smollm2: this needs the extra `local`, which is not installed. Run: pip install -e "{tmp_path}[local]"'
    )
