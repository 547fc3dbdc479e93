"""Store data of hospitals: inbound messages, orders, visits, number changes, and matches with studies."""
