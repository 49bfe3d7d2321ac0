"""Manifests, as pure functions of the API types: what is asked of Kubernetes, and nothing of when."""
