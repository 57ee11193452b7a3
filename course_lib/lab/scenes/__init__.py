"""What single lessons set up and look at: a fleet that registers itself, a shop that is traced.

Each scene is made of the lab's own instruments, and read by the lesson that needs it.
"""
