"""Which tests need frames to have numbers."""

import av.stream
import pytest

needs_frame_numbers = pytest.mark.skipif(
    not hasattr(av.stream.Stream, "index_entries"),
    reason="PyAV before 17 lists no frames, so that one reached by a seek has no number",
)
