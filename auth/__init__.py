"""Who makes a request: viewers, and the tokens that prove them."""
