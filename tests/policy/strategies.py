"""Ids, keys, hrefs and names for property tests."""

from __future__ import annotations

from hypothesis import strategies as st

from stac_policy.naming import asset_name, collection_name, item_name

# Any string that JSON can hold, lone surrogates included, and often what escaping is about.
awkward = st.text(st.sampled_from("-.aB4/_%H \x00\x7f\n:é\u0301\ud800\udc00😀"), min_size=1)
anything = st.text(st.characters(codec=None, exclude_categories=()), min_size=1) | awkward
long = st.builds(lambda text, count: (text * count)[:400], anything, st.integers(1, 200))
# A collection with an id like the scope of an account has names, and no scope.
ids = (anything | long).filter(lambda text: not text.lower().startswith(("user.", "group.")))
keys = st.sampled_from(
    [
        *["B04", "B04.tif", "B04.TIF", "B04.tif.jp2", "B04.jp2", "B0", "-.", "a/b"],
        *["B04.tar", "B04.tar.tar", "B04.tar.gz", "B04.TAR", "B04.gz", ".tar"],
    ]
)
hrefs = st.none() | st.sampled_from(
    [
        "",
        "https://h/B04.tif",
        "https://h/B04.TIF",
        "https://h/B04.jp2",
        "https://h/x.tif.jp2",
        "https://h/x.tar.gz",
        "https://h/x.gz",
        "https://h/x.tar",
        "https://h/entry?name=x.xml",
        "s3://b/x.tif",
        "./x",
        "B04.tif",
        "https://h/x.zarr/",
        "https://h/B04.tif//?a.b/",
        "https://h/x.zip!/B04.tif",
        "/vsizip/x.zip/B04.tar.gz",
    ]
)
local_paths = st.none() | st.sampled_from(
    ["", "B04.tif", "x/B04.jp2", "x.SAFE/", "x.tar.gz", "x.gz", "x", "x?.tif", 7]
)

names = st.one_of(
    st.builds(collection_name, ids),
    st.builds(item_name, ids, ids),
    st.builds(
        asset_name, ids, ids, ids | keys, hrefs | anything, local_path=local_paths | anything
    ),
)
