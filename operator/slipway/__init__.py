"""Slipway: promotes models from a registry into serving, by proof."""

__version__ = "0.1.0"
