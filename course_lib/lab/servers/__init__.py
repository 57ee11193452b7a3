"""Real servers as child processes: on free ports, in a temporary folder, gone with the kernel."""
