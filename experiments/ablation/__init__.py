"""Which level of the method adds what: runs that differ in one thing, compared pair by pair."""
