"""What plugs into DQN: each variant is a callback, and leaves the loop as it is.

DQN("CartPole-v1", cbs=[DoubleQ(), Dueling(), NStep(3)])
"""
