"""hetu beside what else a user would pick, measured in turns on one machine."""
