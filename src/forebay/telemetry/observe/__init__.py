"""The platform observes itself: its own requests, activities, log lines and figures, as rows of its own tables."""
