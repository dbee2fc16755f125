"""A Hub of Hugging Face's on loopback, which speaks what ``huggingface_hub`` speaks with it."""
