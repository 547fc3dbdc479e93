"""Both ends of the gateway for trying it out: an AutoScribe look-alike and an MLLP receiver."""
