"""The outside world behind small protocols: the Kubernetes API and model registries."""
