"""Floor 0: hooks, loops, the plan, and the code that is written from it. Standard library only."""
