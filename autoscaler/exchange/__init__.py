"""Other autoscalers' manifests: HPA (autoscaling/v2) and KEDA in, HPA out."""
