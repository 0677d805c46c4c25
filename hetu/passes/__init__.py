"""Graph to graph, one pass per file; they work on copies, a loaded graph stays as it is."""
