"""What tools, notebooks and the demo call."""
