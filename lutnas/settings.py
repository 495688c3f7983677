"""Where the service is and which token opens it.

Each of the two is taken from the first place that names it:

    1. flag            --url; --token or --token-file
    2. environment     LUTNAS_URL; LUTNAS_TOKEN or LUTNAS_TOKEN_FILE
    3. config file     url; token or token_file, in TOML; LUTNAS_CONFIG names another file than the default
    4. local service   <LUTNAS_HOME>/address and <LUTNAS_HOME>/token, as `lutnas serve` wrote them
    5. default         http://127.0.0.1:8000, and no token

The token of the local service is only ever sent to this machine, and by no proxy. A team is named by LUTNAS_TEAM or by
`team` in the config file.

Errors:
    SettingsError (ValueError)   a setting that cannot be used; the text names the place it came from
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from lutnas.client.address import is_address, is_this_machine

DEFAULT_URL = "http://127.0.0.1:8000"
CONFIG_KEYS = ("url", "token", "token_file", "team")


class SettingsError(ValueError):
    """A setting that cannot be used; the text names the place it came from."""


@dataclass(frozen=True)
class Settings:
    """Address and token, and for people the place that each came from. `token` is None where nobody named one; `team`
    is whom all is asked for, where it is not the token's owner.
    """

    url: str
    url_from: str
    token: str | None
    token_from: str
    team: str | None = None


def home_path(environ: Mapping[str, str]) -> Path:
    """Folder of a service on this machine: LUTNAS_HOME, or the user's data folder."""
    named = environ.get("LUTNAS_HOME")
    return _expanded(named, "LUTNAS_HOME").absolute() if named else platformdirs.user_data_path("lutnas")


def made_home(environ: Mapping[str, str]) -> Path:
    """The same folder, made for its user alone where it is not there. Raises OSError."""
    home = home_path(environ)
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    return home


def config_path(environ: Mapping[str, str]) -> Path:
    """The config file: LUTNAS_CONFIG, or config.toml in the user's config folder."""
    named = environ.get("LUTNAS_CONFIG")
    return _expanded(named, "LUTNAS_CONFIG") if named else platformdirs.user_config_path("lutnas") / "config.toml"


def resolve(
    environ: Mapping[str, str], *, url: str | None = None, token: str | None = None, token_file: Path | None = None
) -> Settings:
    """Address and token for one call of the command; `url`, `token` and `token_file` are its flags."""
    config = _read_config(config_path(environ), required=bool(environ.get("LUTNAS_CONFIG")))
    home = home_path(environ)
    found_url, url_from = _url(environ, config, home, url)
    token, token_from = _token(environ, config, home, found_url, token, token_file)
    places = [(environ.get("LUTNAS_TEAM"), "LUTNAS_TEAM"), (config.get("team"), str(config_path(environ)))]
    team, place = next(((name, place) for name, place in places if name), (None, ""))
    if team is not None and not (team.isascii() and team.isprintable()):
        raise SettingsError(f"{place}: {team!r} is no team: their names have printable ASCII characters alone")
    return Settings(found_url, url_from, token, token_from, team)


def _url(environ: Mapping[str, str], config: Mapping[str, str], home: Path, flag: str | None) -> tuple[str, str]:
    places = [
        (flag, "--url"),
        (environ.get("LUTNAS_URL"), "LUTNAS_URL"),
        (config.get("url"), str(config_path(environ))),
    ]
    named = next(((value, place) for value, place in places if value), None)
    found, place = named or _local_url(home) or (DEFAULT_URL, "the default")
    if not is_address(found):
        raise SettingsError(f"{place}: {found!r} is no address: write it as in {DEFAULT_URL}")
    return found, place


def _token(
    environ: Mapping[str, str],
    config: Mapping[str, str],
    home: Path,
    url: str,
    flag: str | None,
    flag_file: Path | None,
) -> tuple[str | None, str]:
    if flag is not None and flag_file is not None:
        raise SettingsError("--token and --token-file: give one of them")
    file = config_path(environ)
    places = [
        (flag, "--token", flag_file, "--token-file"),
        (environ.get("LUTNAS_TOKEN"), "LUTNAS_TOKEN", _path(environ, "LUTNAS_TOKEN_FILE"), "LUTNAS_TOKEN_FILE"),
        (config.get("token"), str(file), _path(config, "token_file", beside=file), str(file)),
    ]
    for value, place, named, file_place in places:
        if value:
            return _header_safe(value, place), place
        if named is not None:
            return _read_token(named, file_place), str(named)
    local = home / "token"
    if is_this_machine(url) and _read_local(local) is not None:
        return _read_token(local, "the local service"), str(local)
    return None, "nowhere"


def _read_token(file: Path, place: str) -> str:
    try:
        token = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{place}: cannot read the token file {file}: {_reason(error)}") from error
    if not token:
        raise SettingsError(f"{place}: the token file {file} is empty")
    return _header_safe(token, str(file))


def _header_safe(token: str, place: str) -> str:
    # Anything else cannot stand in a header; a pasted line break is the usual cause.
    if not (token.isascii() and token.isprintable() and " " not in token):
        raise SettingsError(f"{place}: a token has only printable ASCII characters and no blanks")
    return token


def _read_config(file: Path, *, required: bool) -> dict[str, str]:
    try:
        config = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        if not required and isinstance(error, (FileNotFoundError, NotADirectoryError)):
            return {}
        raise SettingsError(f"cannot read the config file {file}: {_reason(error)}") from error
    except ValueError as error:
        raise SettingsError(f"{file}: is not TOML: {error}") from error
    for key, value in config.items():
        if key not in CONFIG_KEYS:
            raise SettingsError(f"{file}: {key!r} is none of {', '.join(CONFIG_KEYS)}")
        if not isinstance(value, str) or not value:
            raise SettingsError(f"{file}: {key} must be a text that is not empty")
    if "token" in config and "token_file" in config:
        raise SettingsError(f"{file}: give token or token_file, not both")
    return config


def _local_url(home: Path) -> tuple[str, str] | None:
    file = home / "address"
    found = (_read_local(file) or "").strip().partition("\n")[0]
    return (found, str(file)) if found else None


def _read_local(file: Path) -> str | None:
    """What the local service wrote; None where none has written."""
    try:
        return file.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        said = f"cannot read {file} of the local service: {_reason(error)}"
        raise SettingsError(f"{said}; give address and token, or another LUTNAS_HOME") from error


def _path(given: Mapping[str, str], name: str, *, beside: Path | None = None) -> Path | None:
    """A path that somebody wrote as `name`; one in a config file starts at that file's folder."""
    text = given.get(name)
    if not text:
        return None
    path = _expanded(text, name if beside is None else f"{beside}: {name}")
    return path if beside is None else beside.parent / path


def _expanded(text: str, place: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError as error:  # of a user who is not there
        raise SettingsError(f"{place}: {text!r} names nobody's home") from error


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
