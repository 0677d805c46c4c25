"""Graph to graph, one pass per file. Passes work on the runtime's copy, never on what is exported."""
