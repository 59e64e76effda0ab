"""Rules for legal settings that harm LLM serving: of policies, and of policies with their workloads."""
