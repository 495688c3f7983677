"""What every benchmark shares: `--json`, progress on stderr, the machine it ran on."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

from workers.environment import processor


def parser(description: str | None) -> argparse.ArgumentParser:
    """The options that every benchmark has."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--json", action="store_true", help="one JSON object as the last line on stdout")
    return made


def at_least(least: int) -> Callable[[str], int]:
    """The type of an option that counts something."""

    def count(text: str) -> int:
        if int(text) < least:
            raise argparse.ArgumentTypeError(f"{text} is less than {least}")
        return int(text)

    return count


def say(text: str) -> None:
    """Progress, on stderr."""
    print(text, file=sys.stderr, flush=True)


def show(figures: Mapping[str, Any], *, as_json: bool) -> None:
    """The figures, with the machine they come from."""
    found = {**figures, "machine": f"{processor()}, {os.cpu_count()} cores"}
    if as_json:
        print(json.dumps(found))
    else:
        for name, value in found.items():
            print(f"{name:28} {value}")
