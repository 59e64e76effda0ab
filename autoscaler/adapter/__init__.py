"""The adapter: the same signals for the stock HPA, through the custom and external metrics APIs."""
