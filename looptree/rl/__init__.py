"""Reinforcement learning: sources, agents and learners, all of them loops of one kind."""
