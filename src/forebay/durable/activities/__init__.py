"""Running activities: in the event loop, in threads, in processes; within limits of number and time."""
