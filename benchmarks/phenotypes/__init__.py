"""How well sex and age are predicted beside the main phenotype."""
