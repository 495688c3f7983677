"""Times the operators of a space, and whole networks, on the machine it runs on. Needs the extra `profiler`.

    table = profile(operators, device="pi4", draft=Path("pi4.draft"), progress=show)
    measured = measure_model(Path("model.onnx"))
    several = measure_networks(networks, runtime=make_runtime("litert"))

`progress` gets (done, total, seconds_left). With `draft`, a profile that was stopped goes on where it was;
delete the draft when the table is kept.
"""

from latency.profiler.errors import DraftError, ProfilerError
from latency.profiler.model import Measurement, measure_model
from latency.profiler.networks import measure_networks
from latency.profiler.profile import profile
from latency.profiler.progress import Progress
from latency.profiler.runtimes import make_runtime, runtime_names

__all__ = [
    "DraftError",
    "Measurement",
    "ProfilerError",
    "Progress",
    "make_runtime",
    "measure_model",
    "measure_networks",
    "profile",
    "runtime_names",
]
