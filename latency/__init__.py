"""What an operator costs on a device: tables of measured latency, and what a network of operators will take."""
