"""Pages of heat maps: escaped, self-contained, and as Chromium shows them."""

import html.parser
import re
import shutil
import struct
import subprocess
import zlib

import numpy as np
import pytest

from jaxlm.attribution import html_page
from jaxlm.attribution.results._colours import level_colour
from tests.attribution.results.examples import causal, translation

EVIL = "<script>alert(1)</script>", "\"'><img src=x onerror=alert(1)>", "</table>", "&amp;", "\u202e", "]]>"
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Tags(html.parser.HTMLParser):
    """The tags of a page with their attributes, and its text; raises where a tag is not closed in order."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.open = [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def evil():
    return causal(
        tokens=EVIL,
        target_tokens=EVIL[3:],
        contrast_tokens=EVIL[:3],
        method=EVIL[0],
        step_function=EVIL[1],
        model=EVIL[2],
        settings={EVIL[0]: EVIL[1]},
        step_scores={EVIL[0]: np.ones(3)},
    )


def test_everything_of_the_user_is_escaped():
    page = Tags(html_page([evil()]))
    assert {tag for tag, _ in page.tags} == {
        *(
            "html",
            "head",
            "meta",
            "title",
            "style",
            "body",
            "section",
            "h2",
            "dl",
            "dt",
            "dd",
            "div",
            "span",
            "i",
        ),
        *("table", "thead", "tbody", "tfoot", "tr", "th", "td", "bdi"),
    }
    assert all(EVIL[0] in texts for texts in ([*page.texts], "".join(page.texts)))
    assert "\u202e" not in "".join(page.texts) and "\\u202e" in page.texts


@pytest.mark.parametrize("result", [causal(), translation(), evil()], ids=["causal", "translation", "evil"])
def test_a_page_loads_nothing(result):
    text = html_page([result])
    page = Tags(text)
    attributes = {name for _, attributes in page.tags for name in attributes}
    assert attributes <= {
        *("lang", "charset", "http-equiv", "content", "name", "class", "scope", "colspan", "title"),
        *("role", "aria-label"),
    }
    assert "url(" not in text and "@import" not in text
    assert (
        "meta",
        {"http-equiv": "Content-Security-Policy", "content": "default-src 'none'; style-src 'unsafe-inline'"},
    ) in page.tags


def cells(text):
    """The rows of the body: their labels, and the class, title and text of each cell."""
    body = re.search(r"<tbody>(.*?)</tbody>", text, re.DOTALL)[1]
    rows = re.findall(r'<tr><th scope="row"><bdi>(.*?)</bdi></th>(.*?)</tr>', body)
    return {label: re.findall(r'<td(?: class="(\S+)" title="(\S+)")?>(.*?)</td>', row) for label, row in rows}


def test_every_score_is_a_cell_with_its_colour_and_exact_value():
    rows = cells(html_page([causal()]))
    assert list(rows) == ["The", "▁old", "▁man", "▁sl", "eeps"]
    for label, scores in zip(rows, causal().scores, strict=False):
        for (name, title, shown), score in zip(rows[label], scores.tolist(), strict=True):
            if np.isnan(score):
                assert (name, title, shown) == ("", "", "")
            else:
                assert np.float32(title) == np.float32(score)
                assert name == f"s{round(20 * score / np.nanmax(np.abs(causal().scores)))}"
    sheet = html_page([causal()])
    assert f".s-20{{background:{level_colour(-20, is_signed=True).background};" in sheet


def test_a_page_says_what_is_to_be_known():
    text = "".join(Tags(html_page([causal(contrast_tokens=(" a", " b", " c"))])).texts)
    for fact in (
        *(
            "integrated_gradients of probability",
            "steps = 50, rule = left, baseline = zero",
            "./gpt2",
            "ab" * 32,
        ),
        *("above 0 a token raises it, below 0 it lowers it", "within 0.0002", "compared with", "▁c"),
        *("at the baseline", "entropy (nats)", "empty: the prediction does not see the token"),
    ):
        assert fact in text


def test_several_texts_are_one_page():
    page = Tags(html_page([causal(), translation()]))
    assert [tag for tag, _ in page.tags].count("section") == 2
    texts = "".join(page.texts)
    assert "source" in texts and "target" in texts
    assert "no attributions" in html_page([])


def test_a_notebook_shows_the_map():
    fragment = Tags(causal()._repr_html_())
    assert fragment.tags[0][0] == "style" and "html" not in [tag for tag, _ in fragment.tags]
    # Its rules are of its own class, so that they change nothing else in the notebook.
    rules = fragment.texts[0].replace("\n", "").split("}")[:-1]
    assert all(
        part.strip().startswith(".jaxlm-attribution")
        for rule in rules
        for part in rule.split("{")[0].split(",")
    )


def pixels(path):
    """The pixels of a PNG as `UInt8[rows columns 3]`, read by the format's own rules."""
    data, chunks, width, height, kind = path.read_bytes()[8:], b"", 0, 0, 0
    while data:
        size, name = struct.unpack(">I4s", data[:8])
        if name == b"IHDR":
            width, height, _, kind = struct.unpack(">IIBB", data[8:18])
        chunks += data[8 : 8 + size] if name == b"IDAT" else b""
        data = data[12 + size :]
    depth = {2: 3, 6: 4}[kind]
    rows = np.frombuffer(zlib.decompress(chunks), np.uint8).reshape(height, 1 + width * depth)
    image, above = [], np.zeros((width, depth), np.int32)
    for row in rows:
        above = unfiltered(row[0], row[1:].reshape(width, depth).astype(np.int32), above)
        image.append(above[:, :3])
    return np.array(image, np.uint8)


def unfiltered(kind, row, above):
    """A row of a PNG from the differences to its neighbours."""
    if kind == 0:
        return row
    if kind == 1:
        return np.cumsum(row, 0) % 256
    if kind == 2:
        return (row + above) % 256
    made, left, corner = [], np.zeros(row.shape[1], np.int32), np.zeros(row.shape[1], np.int32)
    for own, up in zip(row, above, strict=True):
        if kind == 3:
            guess = (left + up) // 2
        else:
            sides = np.abs([up - corner, left - corner, left + up - 2 * corner])
            guess = np.where(
                (sides[0] <= sides[1]) & (sides[0] <= sides[2]),
                left,
                np.where(sides[1] <= sides[2], up, corner),
            )
        left, corner = (own + guess) % 256, up
        made.append(left)
    return np.array(made)


@pytest.mark.skipif(BROWSER is None, reason="Chromium is not installed")
def test_chromium_shows_the_colours_and_runs_nothing(tmp_path):
    path, picture = tmp_path / "map.html", tmp_path / "map.png"
    evil().write_html(path)
    options = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        f"--user-data-dir={tmp_path}/user",
    ]
    shared = dict(capture_output=True, text=True, timeout=120, check=True)
    subprocess.run(
        [BROWSER, *options, "--window-size=900,700", f"--screenshot={picture}", path.as_uri()], **shared
    )
    shown = {tuple(colour) for colour in pixels(picture).reshape(-1, 3).tolist()}
    largest = np.nanmax(np.abs(causal().scores))
    for score in causal().scores[~np.isnan(causal().scores)].tolist():
        colour = level_colour(round(20 * score / largest), is_signed=True).background
        assert tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5)) in shown
    made = subprocess.run([BROWSER, *options, "--dump-dom", path.as_uri()], **shared).stdout
    # A script of a token would be an element of the page that the browser made.
    assert (
        "<script" not in made and "<img" not in made and made.count("<td") == html_page([evil()]).count("<td")
    )
