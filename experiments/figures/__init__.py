"""Pictures of a run: what a person looks at before any table."""
