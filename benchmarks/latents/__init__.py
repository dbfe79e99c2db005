"""Whether a fresh probe finds the cohort in latents, with and without the domain heads."""
