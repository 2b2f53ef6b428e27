"""Hugging Face checkpoints in transformers."""
