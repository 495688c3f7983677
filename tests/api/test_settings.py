"""Settings: defaults in the home, what is wrong is named, and the page about them is current."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from api.reference import reference
from api.settings import Settings

ROOT = Path(__file__).parents[2]


def test_the_page_about_the_settings_is_current() -> None:
    made = "make it with: python -m api.reference > docs/reference/settings.md"
    assert (ROOT / "docs" / "reference" / "settings.md").read_text() == reference(), made


def test_everything_is_kept_in_the_home_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUTNAS_HOME", str(tmp_path))
    found = Settings()
    assert found.database_url == f"sqlite:///{tmp_path}/lutnas.db"
    assert (found.artifacts, found.data_dir) == (tmp_path / "artifacts", tmp_path / "data")


def test_a_relative_home_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Settings(home=Path("here")).artifacts == tmp_path / "here" / "artifacts"


def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUTNAS_LEASE_SECONDS", "soon")
    with pytest.raises(ValidationError, match="lease_seconds"):
        Settings()


@pytest.mark.parametrize("name", ["KEEP_CHECKPOINTS_DAYS", "KEEP_DISTRIBUTIONS_DAYS", "KEEP_EVENTS_DAYS"])
@pytest.mark.parametrize("days", ["1000000", "inf", "nan"])
def test_days_that_no_calendar_has_are_refused(monkeypatch: pytest.MonkeyPatch, name: str, days: str) -> None:
    monkeypatch.setenv(f"LUTNAS_{name}", days)
    with pytest.raises(ValidationError, match=name.lower()):
        Settings()


def test_a_secret_comes_by_value_or_by_file_but_not_by_both(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("a-secret-from-a-file-1\n")
    assert Settings(token_file=file).operator_token == "a-secret-from-a-file-1"
    assert "by-value" not in repr(Settings(token="a-secret-by-value-1"))
    with pytest.raises(ValidationError, match="both set"):
        Settings(token="a-secret-by-value-1", token_file=file)


def test_every_setting_is_described() -> None:
    assert not re.search(r"\| None \|", reference())
