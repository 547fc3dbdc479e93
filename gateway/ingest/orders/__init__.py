"""Take in what hospitals' systems send: orders, visits, and merged or changed numbers."""
