"""What an error repeats of its input stays short."""

from vreason_agent.errors import MAX_QUOTED_CHARS, quote, shorten


def test_a_quote_is_the_repr_and_keeps_both_ends_of_a_long_one() -> None:
    assert quote("it's") == '"it\'s"'
    quoted = quote(["x" * 10_000, "end"])
    assert (quoted[:5], quoted[-8:]) == ("['xxx", ", 'end']")
    for length in range(MAX_QUOTED_CHARS - 4, MAX_QUOTED_CHARS + 4):
        assert len(quote("x" * length)) == min(length + 2, MAX_QUOTED_CHARS)
    assert shorten("short") == "short"
