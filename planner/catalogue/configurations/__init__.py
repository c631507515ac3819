"""Models from their own configuration files (config.json, as Hugging Face's transformers writes it)."""
