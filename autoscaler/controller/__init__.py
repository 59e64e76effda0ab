"""The controller: observe, evaluate, act, record, and the loop around it."""
