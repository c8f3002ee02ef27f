"""What a host supplies: a policy, hooks, targets, and how they are checked."""
