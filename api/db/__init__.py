"""Storage: engine, sessions, column types, and the runner of the migrations."""
