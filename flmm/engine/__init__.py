"""Training machinery: runner, hooks, checkpoint files; the only part that knows xtuner."""
