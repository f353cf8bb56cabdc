"""Shipped fakes that keep the doors' contracts and can fail both ways, and doubles of outside systems."""
