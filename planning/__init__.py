"""How many machines a rate and a p99 need: measured curves, a simulation of one node, sizes, request units, costs."""
