"""The agent of a device: takes requests from the service, one at a time, and answers them."""
