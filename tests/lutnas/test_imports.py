"""What the command loads, and what it says when something is not installed."""

import subprocess
import sys

HEAVY = ["torch", "fastapi", "starlette", "sqlalchemy", "celery", "pydantic", "onnx", "onnxruntime", "scipy", "uvicorn"]
OWN = ["api", "workers", "search"]


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_the_command_loads_nothing_of_server_or_torch() -> None:
    code = f"import sys, lutnas.cli; print([n for n in {HEAVY + OWN} if n in sys.modules])"
    assert python(code).strip() == "[]"


def test_importing_the_client_loads_nothing_of_the_command() -> None:
    code = f"import sys, lutnas.client; print([n for n in {[*HEAVY, *OWN, 'lutnas.cli']} if n in sys.modules])"
    assert python(code).strip() == "[]"


def test_a_missing_extra_is_named_with_what_mends_it() -> None:
    # None in sys.modules is Python's own way to say that a module is not there.
    code = "import sys; sys.modules['uvicorn'] = None; import lutnas.cli; lutnas.cli.cli(['serve'])"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert (
        "error: lutnas serve needs uvicorn, which is not installed\nhint: pip install 'lutnas[server]'" in done.stderr
    )
