"""Speed, memory and scale; each prints a ratio measured in one run."""
