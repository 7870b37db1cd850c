"""The steps of a pipeline: a settings class and pure functions each; no threads, no I/O."""
