"""Heat maps as HTML: a fragment for a notebook, and a page that works without network.

Tokens, names and settings are escaped; there is no script, and nothing is loaded. A cell's colour is a class
of the style sheet, so that the page of a long text stays small.
"""

from collections.abc import Iterator, Sequence
from html import escape

from jaxlm.attribution.results._colours import NUM_LEVELS, colour_level, level_colour
from jaxlm.attribution.results._fields import AttributionFields
from jaxlm.attribution.results._heat_map import HeatMap, HeatRows, heat_map, short_value

SECTION_CLASS = "jaxlm-attribution"
# `default-src 'none'` keeps a browser from loading anything, whatever the page holds.
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
STYLE = """
.B{font:14px/1.35 system-ui,sans-serif;color:#111;background:#fff;margin:0 0 2.5em}
.B h2{font-size:1.15em;margin:0 0 .5em}
.B dl{display:grid;grid-template-columns:max-content 1fr;gap:.1em 1em;margin:0 0 .8em}
.B dt{color:#555}
.B dd{margin:0;overflow-wrap:anywhere}
.B .map{overflow:auto;max-height:90vh}
.B table{border-collapse:separate;border-spacing:1px;margin:0}
.B th{font-weight:400;font-family:ui-monospace,monospace;background:#fff;color:#111}
.B td{text-align:right;white-space:nowrap;padding:.1em .4em;color:#111}
.B td{font-variant-numeric:tabular-nums}
.B thead th{position:sticky;top:0;z-index:2;vertical-align:bottom;padding:.2em .3em;max-width:9em}
.B thead th{overflow-wrap:anywhere;border-bottom:1px solid #111;text-align:right}
.B tbody th,.B tfoot th,.B .corner{position:sticky;left:0;z-index:1;text-align:left;padding:.1em .6em .1em 0}
.B .corner{z-index:3;background:#fff}
.B tbody th{white-space:nowrap}
.B tbody th.side{font-family:inherit;font-style:italic;color:#555}
.B tfoot th{font-family:inherit;white-space:nowrap}
.B tfoot tr:first-child>*{border-top:1px solid #111}
.B td.other{font-family:ui-monospace,monospace;white-space:normal;overflow-wrap:anywhere;max-width:9em}
.B .legend{display:flex;align-items:center;gap:.6em;margin:0 0 .8em;flex-wrap:wrap}
.B .legend .bar{display:inline-flex;border:1px solid #999}
.B .legend .bar i{width:.55em;height:1.1em}
"""


def html_fragment(result: AttributionFields) -> str:
    """Returns the heat map of an attribution as HTML with its style sheet, for a notebook.

    Args:
      result: an attribution.

    Example:
      >>> import numpy as np
      >>> from jaxlm.attribution import Attribution
      >>> from jaxlm.attribution.results._html import html_fragment
      >>> ids, scores = np.array([5, 6]), np.array([[0.5], [np.nan]])
      >>> result = Attribution(("<b>", " be"), ids, ids[:1] - 4, ids[1:], (" be",), scores)
      >>> "<bdi>&lt;b&gt;</bdi>" in html_fragment(result)
      True
    """
    return f"<style>{_style_sheet()}</style>{_section(heat_map(result))}"


def html_page(results: Sequence[AttributionFields]) -> str:
    """Returns a whole page with the heat maps of several attributions, one below the other.

    The page is one string of HTML. It has a legend, loads nothing, runs no script, and escapes all tokens.

    Args:
      results: the attributions.

    Example:
      >>> import numpy as np
      >>> from jaxlm.attribution import Attribution, html_page
      >>> ids, scores = np.array([5, 6]), np.array([[0.5], [np.nan]])
      >>> result = Attribution(("To", " be"), ids, ids[:1] - 4, ids[1:], (" be",), scores, method="saliency")
      >>> page = html_page([result])
      >>> page.startswith("<!DOCTYPE html>"), "<title>saliency</title>" in page, "+0.500" in page
      (True, True, True)
    """
    maps = [heat_map(result) for result in results]
    title = escape(maps[0].title if maps else "no attributions")
    sections = "\n".join(_section(drawn) for drawn in maps)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>body{{margin:1.5em;background:#fff}}{_style_sheet()}</style>\n"
        f"</head>\n<body>\n{sections}\n</body>\n</html>\n"
    )


def _style_sheet() -> str:
    """The style of tables, and a class for each colour: `s-20` to `s20` signed, `m0` to `m20` magnitudes."""
    rules = [STYLE.replace(".B", f".{SECTION_CLASS}")]
    for is_signed, first in ((True, -NUM_LEVELS), (False, 0)):
        for level in range(first, NUM_LEVELS + 1):
            colour = level_colour(level, is_signed=is_signed)
            name = _class(level, is_signed=is_signed)
            rules.append(f".{SECTION_CLASS} .{name}{{background:{colour.background};color:{colour.text}}}")
    return "\n".join(rules)


def _class(level: int, *, is_signed: bool) -> str:
    return f"s{level}" if is_signed else f"m{abs(level)}"


def _section(drawn: HeatMap) -> str:
    facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in drawn.facts)
    rows = "\n".join(row for side in drawn.sides for row in _side(drawn, side))
    return (
        f'<section class="{SECTION_CLASS}">\n<h2>{escape(drawn.title)}</h2>\n<dl>{facts}</dl>\n'
        f"{_legend(drawn)}\n"
        f'<div class="map"><table>\n<thead>{_head(drawn)}</thead>\n<tbody>\n{rows}\n</tbody>\n'
        f"<tfoot>{_foot(drawn)}</tfoot>\n</table></div>\n</section>"
    )


def _head(drawn: HeatMap) -> str:
    columns = "".join(f'<th scope="col">{_token(column)}</th>' for column in drawn.columns)
    head = f'<tr><td class="corner">token \\ prediction</td>{columns}</tr>'
    if drawn.contrasts is None:
        return head
    others = "".join(f'<td class="other">{_token(other)}</td>' for other in drawn.contrasts)
    return f'{head}<tr><td class="corner">compared with</td>{others}</tr>'


def _side(drawn: HeatMap, side: HeatRows) -> Iterator[str]:
    if side.name:
        yield f'<tr><th class="side" colspan="{len(drawn.columns) + 1}">{escape(side.name)}</th></tr>'
    for label, scores in zip(side.labels, side.scores.tolist(), strict=True):
        cells = "".join(_cell(drawn, score) for score in scores)
        yield f'<tr><th scope="row">{_token(label)}</th>{cells}</tr>'


def _cell(drawn: HeatMap, score: float) -> str:
    shown = drawn.shown(score)
    if not shown:
        return "<td></td>"
    name = _class(colour_level(score, drawn.limit), is_signed=drawn.is_signed)
    return f'<td class="{name}" title="{score:.8g}">{shown}</td>'


def _foot(drawn: HeatMap) -> str:
    rows = []
    for row in drawn.numbers:
        values = "".join(
            f'<td title="{value:.8g}">{short_value(value)}</td>' for value in map(float, row.values)
        )
        rows.append(f'<tr><th scope="row">{escape(row.label)}</th>{values}</tr>')
    return "".join(rows)


def _legend(drawn: HeatMap) -> str:
    first = -NUM_LEVELS if drawn.is_signed else 0
    bar = "".join(
        f'<i class="{_class(level, is_signed=drawn.is_signed)}"></i>'
        for level in range(first, NUM_LEVELS + 1)
    )
    low = drawn.shown(-drawn.limit) if drawn.is_signed else "0"
    power = f" (cells: times 10<sup>{drawn.exponent}</sup>)" if drawn.exponent else ""
    return (
        f'<div class="legend" role="img" aria-label="scale of colours"><span>{low}</span>'
        f'<span class="bar">{bar}</span><span>{drawn.shown(drawn.limit)}{power}</span>'
        "<span>empty: the prediction does not see the token</span></div>"
    )


def _token(token: str) -> str:
    """A token, escaped, that turns the direction of nothing around it."""
    return f"<bdi>{escape(token)}</bdi>"
