"""The site's doctor: what AutoScribe really has, held against the settings, with what to write."""
