"""What the agent of a device is asked to do: profile, calibrate, verify; one at a time on each device."""
