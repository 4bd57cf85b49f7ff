"""Receipts: an answer with everything needed to check it, as one HTML file, and running it again.

`record` gathers, `page` shows, `replay` runs again and compares. This package knows no command line.
"""

from __future__ import annotations

from vreason_agent.receipt.contents import ReceiptMaker, read_receipt
from vreason_agent.receipt.page import batch_page, html_page
from vreason_agent.receipt.replay import Difference, compare_receipts

__all__ = ["Difference", "ReceiptMaker", "batch_page", "compare_receipts", "html_page", "read_receipt"]
