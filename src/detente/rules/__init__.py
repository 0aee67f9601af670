"""Pure rules: authority, standing, decision, feed."""
