"""Certificates of proofs, and the checker that re-proves them: numpy and the operator graph only, nothing of the verifiers."""
