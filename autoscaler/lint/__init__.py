"""What is legal and harms LLM serving: rules about policies, and about policies with their workloads."""
