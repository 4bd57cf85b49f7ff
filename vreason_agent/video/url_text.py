"""URLs in messages: without what may be secret. Opens nothing."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_MAX_LETTERS = 200


def shown(url: str) -> str:
    """Return a URL without its user, query and fragment, however it is spelled; a text that is none as it is."""
    if "://" not in url:
        return url
    try:
        parts = urlsplit(url)
    except ValueError:  # an address in brackets that is none
        return url.partition("?")[0].rpartition("@")[2][:_MAX_LETTERS]
    if parts.netloc:
        return f"{parts.scheme}://{parts.hostname or ''}{parts.path}"[:_MAX_LETTERS]
    return re.sub(r"//[^/]*@", "//", re.split(r"[?#]", url)[0])[:_MAX_LETTERS]  # a URL within another protocol's
