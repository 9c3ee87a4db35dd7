"""What docs/benchmarks.md states, measured on this machine: `make bench`, or `python -m benchmarks NAME...`."""
