"""Operators of the domain `hetu.fused`, which only passes create: they are never exported."""
