"""What the people and machines that run the gateway ask it: is it alive, is it ready, how much of what."""
