"""Speed and memory of DomainVI beside scvi-tools: training, inference, larger than memory."""
