"""The real OpenEnv package, made available to our tests and benchmarks as the other side."""
