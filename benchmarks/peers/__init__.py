"""What the compiler is measured against: five models written by hand, and the estimators of the papers on them."""
