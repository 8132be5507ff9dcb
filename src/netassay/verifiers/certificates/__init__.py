"""Certificates of proofs: searches that write down what an independent checker needs to prove a claim again."""
