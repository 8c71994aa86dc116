"""Names and paths for the tests of whose file something is."""

from hypothesis import strategies as st

OWN = "u-alice00000"
BOB = "u-bob0000000"

# Pieces that a hostile path is made of.
_PIECES = ["/", "//", "..", ".", "\\", "C:", OWN, BOB, BOB.upper(), "a", "x.png", " ", "\0", "~"]
_PIECES += [" [input]", " [output]", "[temp]", "%year%", "é", ":", "|", "\n", "-"]
PATHS = st.one_of(
    st.lists(st.sampled_from(_PIECES), max_size=10).map("".join), st.text(max_size=40)
)
