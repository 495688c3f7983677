"""The user's side of lutnas: the `lutnas` command and the client of its API."""
