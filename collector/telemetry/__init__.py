"""What the collector tells of itself: counts, their views, and lines about requests it refuses."""
