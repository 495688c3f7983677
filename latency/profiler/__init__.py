"""Times the operators of a space, and whole networks, on the machine it runs on. Needs the extra `profiler`.

    profile(operators: Iterable[Operator], *, device: str, threads: int = 1, note: str = "", seed: int = 0,
            draft: Path | None = None, progress: Callable[[int, int, float], None] | None = None) -> LatencyTable
    measure_model(path: Path, *, threads: int = 1, seed: int = 0) -> Measurement

`progress` gets (done, total, seconds_left). With `draft`, a profile that was stopped goes on where it was.
Errors: ProfilerError (RuntimeError): the runtime is not installed, or cannot run an operator, or the draft is of another.
"""
