"""Event -> POSIX queue: the application's end of the pipeline, and what the kernel allows."""
