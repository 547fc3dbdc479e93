"""Compare the settings with the data that AutoScribe really has, and suggest settings to write."""
