"""Stage 2: kernel queue -> open batch file -> sealed batch."""
