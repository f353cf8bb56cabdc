"""The auditor's view: the trail as pages, read-only, for a browser or as one file.

Where to look: `account` (one change with each proof judged on the spot), `rendering` (pages to text, nothing untrusted
unescaped), `serving` (the web application).
"""

from itmp.viewer.rendering import report
from itmp.viewer.serving import application

__all__ = ["application", "report"]
