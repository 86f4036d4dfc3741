"""The notifier: people are told what happened, once, where they want to be told."""
