"""Models that say texts, token by token: the state that goes from step to step, what is chosen, and what is kept."""
