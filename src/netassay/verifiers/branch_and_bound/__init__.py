"""Branch and bound (Bunel et al. 2018; survey, section 4.1.2): region or neurons are split until every part is decided."""
