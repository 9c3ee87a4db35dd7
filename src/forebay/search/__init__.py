"""Search: full text and vectors side by side, fused, filtered and cited."""
