"""App projects: templates rendered for a bundle, and the statistics that an app exports."""
