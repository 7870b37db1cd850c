"""`tracing.toml` as it was written, and as settings; knows nothing of profiles."""
