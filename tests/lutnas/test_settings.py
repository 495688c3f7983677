"""Where address and token come from."""

import os
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner

from lutnas.cli import cli
from lutnas.settings import DEFAULT_URL, Settings, SettingsError, config_path, made_home, resolve


class Places:
    """Every place that can name an address and a token, each with a value of its own."""

    def __init__(self, folder: Path) -> None:
        self.home, self.config, self.file = folder / "home", folder / "config.toml", folder / "token-by-flag"
        self.home.mkdir()
        (self.home / "address").write_text("http://127.0.0.1:1005\n")
        (self.home / "token").write_text("by-home\n")
        self.config.write_text('url = "http://127.0.0.1:1003"\ntoken = "by-config"\n')
        self.file.write_text("by-flag-file\n")
        self.base = {"LUTNAS_HOME": str(self.home)}
        self.with_config = self.base | {"LUTNAS_CONFIG": str(self.config)}
        self.all = self.with_config | {"LUTNAS_URL": "http://127.0.0.1:1002", "LUTNAS_TOKEN": "by-environment"}


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "no-config-here"))
    return Places(tmp_path)


def values(settings: Settings) -> tuple[str, str | None]:
    return settings.url, settings.token


def test_a_flag_beats_the_environment(places: Places) -> None:
    found = resolve(places.all, url="http://127.0.0.1:1001", token="by-flag")
    assert values(found) == ("http://127.0.0.1:1001", "by-flag")
    assert (found.url_from, found.token_from) == ("--url", "--token")
    assert resolve(places.all, token_file=places.file).token == "by-flag-file"


def test_the_environment_beats_the_config_file(places: Places) -> None:
    assert values(resolve(places.all)) == ("http://127.0.0.1:1002", "by-environment")
    by_file = places.with_config | {"LUTNAS_TOKEN_FILE": str(places.file)}
    assert resolve(by_file).token == "by-flag-file"


def test_the_config_file_beats_the_local_service(places: Places) -> None:
    found = resolve(places.with_config)
    assert values(found) == ("http://127.0.0.1:1003", "by-config")
    assert found.token_from == str(places.config)


def test_the_local_service_beats_the_default(places: Places) -> None:
    assert values(resolve(places.base)) == ("http://127.0.0.1:1005", "by-home")


def test_without_anything_the_default_address_and_no_token_are_left(places: Places, tmp_path: Path) -> None:
    assert values(resolve({"LUTNAS_HOME": str(tmp_path / "empty")})) == (DEFAULT_URL, None)


def test_each_of_the_two_is_looked_for_by_itself(places: Places) -> None:
    places.config.write_text('url = "http://127.0.0.1:1003"\n')
    assert values(resolve(places.with_config)) == ("http://127.0.0.1:1003", "by-home")


@pytest.mark.parametrize("url", ["https://lutnas.example", "http://10.0.0.7:8000", "http://127.0.0.1.example:8000"])
def test_the_local_token_never_leaves_this_machine(places: Places, url: str) -> None:
    assert resolve(places.base, url=url).token is None


@pytest.mark.parametrize("url", ["http://localhost:9", "http://127.0.0.1:9", "http://[::1]:9"])
def test_the_local_token_goes_to_any_port_of_this_machine(places: Places, url: str) -> None:
    assert resolve(places.base, url=url).token == "by-home"


@pytest.mark.parametrize(
    "url",
    ["localhost:8000", "ftp://host", "http://", "http://host:80x", "http://host:99999", "http://[::1", "http://xn--a/"],
)
def test_what_is_no_address_is_refused_with_the_place_it_came_from(places: Places, url: str) -> None:
    with pytest.raises(SettingsError, match=r"--url: .* is no address"):
        resolve(places.base, url=url)
    with pytest.raises(SettingsError, match=r"LUTNAS_URL: .* is no address"):
        resolve(places.base | {"LUTNAS_URL": url})


def unreadable(file: Path) -> None:
    """Makes a file that not even root can read."""
    file.unlink(missing_ok=True)
    file.symlink_to(file)


def test_a_home_that_cannot_be_read_matters_to_none_who_gives_address_and_token(places: Places) -> None:
    unreadable(places.home / "address")
    unreadable(places.home / "token")
    assert values(resolve(places.base, url="http://127.0.0.1:1001", token="by-flag"))[1] == "by-flag"
    assert values(resolve(places.base, url="http://lutnas.example")) == ("http://lutnas.example", None)
    assert values(resolve(places.all)) == ("http://127.0.0.1:1002", "by-environment")


def test_a_home_that_cannot_be_read_is_told(places: Places) -> None:
    unreadable(places.home / "token")
    with pytest.raises(SettingsError, match=r"cannot read .*/home/token of the local service"):
        resolve(places.base)
    unreadable(places.home / "address")
    with pytest.raises(SettingsError, match=r"cannot read .*/home/address of the local service: .*LUTNAS_HOME"):
        resolve(places.base)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every home")
def test_a_home_of_another_user_is_told(places: Places) -> None:
    places.home.chmod(0)
    try:
        with pytest.raises(SettingsError, match=r"cannot read .* Permission denied"):
            resolve(places.base)
        with pytest.raises(SettingsError, match=r"cannot read .* Permission denied"):
            resolve(places.base, url="http://127.0.0.1:1001")
    finally:
        places.home.chmod(0o700)


def test_a_config_file_that_cannot_be_read_is_told(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(places.home))
    file = config_path({})
    file.parent.mkdir(parents=True)
    unreadable(file)
    with pytest.raises(SettingsError, match="cannot read the config file"):
        resolve(places.base)


def test_a_token_file_in_the_config_is_found_beside_it(places: Places) -> None:
    places.config.write_text('token_file = "token-by-flag"\n')
    assert resolve(places.with_config).token == "by-flag-file"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('adress = "http://x"\n', "'adress' is none of url, token, token_file"),
        ("url = 8000\n", "url must be a text"),
        ('token = "a"\ntoken_file = "b"\n', "not both"),
        ("url = \n", "is not TOML"),
        ('url = "localhost:8000"\n', "is no address"),
        ('token_file = "nowhere"\n', "cannot read the token file"),
    ],
)
def test_a_config_file_that_is_wrong_is_named_with_the_reason(places: Places, text: str, said: str) -> None:
    places.config.write_text(text)
    with pytest.raises(SettingsError, match=r"config\.toml") as caught:
        resolve(places.with_config)
    assert said in str(caught.value)


def test_a_named_config_file_has_to_be_there(places: Places, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot read the config file"):
        resolve(places.base | {"LUTNAS_CONFIG": str(tmp_path / "nowhere.toml")})


def test_a_token_with_a_line_break_is_refused_before_it_becomes_a_header(places: Places) -> None:
    with pytest.raises(SettingsError, match="LUTNAS_TOKEN: a token has only printable"):
        resolve(places.base | {"LUTNAS_TOKEN": "one\ntwo"})


def test_an_empty_token_file_is_refused(places: Places) -> None:
    places.file.write_text("\n")
    with pytest.raises(SettingsError, match="token-by-flag is empty"):
        resolve(places.all, token_file=places.file)


def test_token_and_token_file_together_are_refused(places: Places) -> None:
    with pytest.raises(SettingsError, match="give one of them"):
        resolve(places.all, token="a", token_file=places.file)


def test_a_team_is_named_by_the_environment_before_the_config_file(places: Places) -> None:
    assert resolve(places.all).team is None
    places.config.write_text('team = "by-config"\n')
    assert resolve(places.with_config).team == "by-config"
    assert resolve(places.with_config | {"LUTNAS_TEAM": "by-environment"}).team == "by-environment"


def test_a_team_that_no_header_carries_is_refused_with_its_place(places: Places) -> None:
    with pytest.raises(SettingsError, match="LUTNAS_TEAM: 'süd' is no team"):
        resolve(places.all | {"LUTNAS_TEAM": "süd"})


@pytest.mark.parametrize("name", ["LUTNAS_HOME", "LUTNAS_CONFIG", "LUTNAS_TOKEN_FILE"])
def test_a_path_in_the_home_of_nobody_is_refused_with_its_name(places: Places, name: str) -> None:
    with pytest.raises(SettingsError, match=f"{name}: '~nobody-here/x' names nobody's home"):
        resolve({**places.base, name: "~nobody-here/x"})


def test_help_is_given_whatever_the_config_file_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUTNAS_CONFIG", "~nobody-here/x")
    done = CliRunner().invoke(cli, ["--help"])
    assert done.exit_code == 0
    assert "names nobody's home" in done.stdout


def test_a_home_is_made_for_its_user_alone_whatever_is_made_in_it_first(tmp_path: Path) -> None:
    home = made_home({"LUTNAS_HOME": str(tmp_path / "new" / "home")})
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
