"""The command `hetu`."""
