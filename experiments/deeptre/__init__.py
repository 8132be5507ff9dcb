"""The DeepTRE paper, measured again."""
