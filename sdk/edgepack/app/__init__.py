"""App projects: templates rendered for a bundle, and what an app's monitoring exports."""
