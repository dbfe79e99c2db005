"""What the safety of the transfer is measured by: unknown classes and confounded designs."""
