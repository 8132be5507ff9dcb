"""White-box searches."""
