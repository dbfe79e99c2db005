"""mRNA and miRNA of the same samples: together, apart, and with one of them missing."""
