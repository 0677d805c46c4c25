"""Cases of Hetu's operators, by family."""
