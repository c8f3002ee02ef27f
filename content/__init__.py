"""What texts may hold, and how they become HTML."""
