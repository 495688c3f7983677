"""The tests' own Postgres and Redis, and whatever else has to die with the test run."""
