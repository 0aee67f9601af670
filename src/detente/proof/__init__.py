"""Signatures, Merkle trees, checkpoints and erasable commitments."""
