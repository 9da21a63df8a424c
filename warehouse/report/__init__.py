"""The report: one HTML file with all that was measured, readable without network or script."""
