import os

# Great Expectations reads it on import: audits report to nobody but their caller.
os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
