"""Running graphs: bind, compile, parameters, executor."""
