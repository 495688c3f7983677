"""What this process counts, for Prometheus. Each process of API and workers tells its own; Prometheus adds them up.

What the database knows (jobs by state, the age of the queue) is not counted but asked for: `api.telemetry.scrape`.
"""

from prometheus_client import Counter, Histogram

REQUESTS = Counter("lutnas_http_requests", "Requests answered.", ["method", "route", "status"])
REQUEST_SECONDS = Histogram(
    "lutnas_http_request_duration_seconds",
    "Time until an answer begins: a stream of events then lasts as long as its reader.",
    ["method", "route"],
)
TABLE_UPLOADS = Counter("lutnas_table_uploads", "Latency tables taken.")
TABLE_ROWS = Counter("lutnas_table_uploaded_rows", "Rows of the latency tables taken.")
ARTIFACT_BYTES = Counter(
    "lutnas_artifact_bytes", "Bytes of artifacts put into the store or read from it.", ["direction"]
)
RING_FAILURES = Counter("lutnas_ring_failures", "Jobs that the broker could not announce; the sweeper tries again.")
LEASE_EXPIRIES = Counter("lutnas_lease_expiries", "Leases of workers or agents that fell silent.", ["kind"])
ATTEMPTS = Counter("lutnas_attempts", "Attempts of search jobs that ended, by what became of them.", ["outcome"])
NETWORKS = Counter(
    "lutnas_compared_networks", "Networks of comparisons that another worker than the job's own had.", ["outcome"]
)
DELIVERIES = Counter("lutnas_webhook_deliveries", "Messages sent to webhooks, by what became of the try.", ["outcome"])
STEP_SECONDS = Histogram(
    "lutnas_step_duration_seconds",
    "Time of a step of a search job.",
    ["phase"],
    buckets=(0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0),
)

# From the start, so that a rate sees the first one.
for _kind in ("search-job", "device-request", "compared-network"):
    LEASE_EXPIRIES.labels(kind=_kind)
for _outcome in ("succeeded", "failed", "cancelled", "paused", "queued", "lease-lost", "database-away"):
    ATTEMPTS.labels(outcome=_outcome)
for _outcome in ("done", "given-back", "lost", "failed", "database-away"):
    NETWORKS.labels(outcome=_outcome)
for _outcome in ("delivered", "retry", "failed", "claim-lost"):
    DELIVERIES.labels(outcome=_outcome)
