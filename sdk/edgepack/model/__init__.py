"""The user's model: loaded in any form, with its weights, and captured as an exported program."""
