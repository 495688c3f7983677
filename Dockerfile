# Two images of one wheel: `--target server` (the API, no torch) and `--target worker` (runs searches).
#
# Which torch the worker gets is yours to choose. The package index alone gives the CUDA build (3 GB). For another one:
#   docker compose build --build-arg PIP_EXTRA_INDEX_URL=<an index of CPU wheels>
#   docker compose build --build-arg PIP_FIND_LINKS=<address of a folder of wheels>
FROM python:3.11-slim AS wheel
WORKDIR /source
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.11-slim AS base
# A fixed uid, so that the volumes of both images belong to the same user. The folders are made here because a new
# volume takes its owner from the folder it covers.
RUN useradd --uid 10001 --create-home lutnas \
    && install -d -o lutnas -g lutnas -m 0700 /var/lib/lutnas /var/lib/lutnas/artifacts /var/lib/lutnas/data
ENV LUTNAS_HOME=/var/lib/lutnas PYTHONUNBUFFERED=1
ARG PIP_EXTRA_INDEX_URL=""
ARG PIP_FIND_LINKS=""
COPY --from=wheel /wheels /wheels

FROM base AS server
RUN pip install --no-cache-dir "$(echo /wheels/lutnas-*.whl)[parquet,s3,server,tracing]"
USER lutnas
EXPOSE 8000
CMD ["lutnas", "serve", "--host", "0.0.0.0", "--port", "8000"]

FROM base AS worker
RUN pip install --no-cache-dir "$(echo /wheels/lutnas-*.whl)[litert,s3,tracing,worker]"
USER lutnas
CMD ["lutnas", "worker"]
