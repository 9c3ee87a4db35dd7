"""Whether code still does what journals say: replays of what has been recorded."""
