"""Economics: prices, cost, revenue. Pure, in exact integers."""
