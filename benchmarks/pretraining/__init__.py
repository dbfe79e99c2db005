"""What pretraining is worth when few rows are labelled."""
