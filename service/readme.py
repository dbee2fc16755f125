"""The README: from Markdown to HTML that a page may show without a second thought.

Nothing of the author's reaches the page but text, structure and links to other sites: HTML in the
Markdown loses its tags, images of other hosts become links, and links into the author's
repository, which is not here, become text.
"""

import functools
import html
import re
from collections.abc import Callable, Sequence
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

__all__ = ["render_readme"]

_FRONT_MATTER = re.compile(r"\A---[ \t]*\n.*?\n---[ \t]*(?:\n|\Z)", re.DOTALL)
# In HTML: comments, programs and styles as a whole, and every other tag.
_UNREADABLE = re.compile(
    r"<!--.*?(?:-->|\Z)|<(script|style)\b.*?(?:</\1\s*>|\Z)|<[^>]*>", re.DOTALL | re.IGNORECASE
)
_ABROAD = re.compile(r"(?:https?:)?//|mailto:", re.IGNORECASE)

#: Before the name of every heading, so that none can be taken for a part of the page around it.
ANCHOR = "readme-"

_REGION = '<div class="scroll" tabindex="0" role="region" aria-label="Table">'


@functools.lru_cache(maxsize=4)
def render_readme(text: str) -> str:
    """Return a README as an HTML fragment; its headings begin at the second level.

    The card that a Hugging Face Space's README begins with is left out.
    """
    markdown = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    for name, rule in _RULES.items():
        markdown.add_render_rule(name, rule)
    tokens = markdown.parse(_FRONT_MATTER.sub("", text.replace("\r\n", "\n"), count=1))
    _adapt(tokens)
    return str(markdown.renderer.render(tokens, markdown.options, {}))


def _adapt(tokens: Sequence[Token]) -> None:
    """Rewrite what stands in a page otherwise than in a document of its own."""
    names: set[str] = set()
    for index, token in enumerate(tokens):
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1]) + 1, 6)}"
        if token.type == "heading_open":
            token.attrSet("id", ANCHOR + _anchor(tokens[index + 1].content, names))
        if "style" in token.attrs:  # the page's policy allows no inline style
            token.attrSet("class", str(token.attrs.pop("style")).replace("text-align:", "to-"))
        _adapt_links(token.children or ())


def _anchor(heading: str, taken: set[str]) -> str:
    """Return the name that GitHub gives a heading, so that links within the document work."""
    base = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
    name, count = base, 0
    while name in taken:
        count += 1
        name = f"{base}-{count}"
    taken.add(name)
    return name


def _adapt_links(tokens: Sequence[Token]) -> None:
    inside: list[Token] = []
    for token in tokens:
        if token.type == "link_open":
            inside.append(token)
            address = str(token.attrGet("href") or "")
            if address.startswith("#"):
                token.attrSet("href", f"#{ANCHOR}{address[1:]}")
            elif _ABROAD.match(address):
                token.attrs.update(_outwards())
            else:
                token.tag, token.attrs = "span", {}
        elif token.type == "link_close":
            token.tag = inside.pop().tag
        elif token.type == "image":
            token.meta["is_linked"] = bool(inside) and inside[-1].tag == "a"


def _outwards() -> dict[str, str | int | float]:
    return {"target": "_blank", "rel": "noopener noreferrer nofollow"}


# How single tokens are rendered


def _text_of_html(renderer: Any, tokens: Sequence[Token], index: int, *_: Any) -> str:
    text = html.unescape(_UNREADABLE.sub("", tokens[index].content))
    return html.escape(text, quote=False)


def _image(renderer: Any, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    token = tokens[index]
    source = str(token.attrGet("src") or "")
    words = html.escape(renderer.renderInlineAsText(token.children, options, env) or "image")
    if source.startswith("data:"):  # the parser has let through nothing but pictures
        return f'<img src="{html.escape(source)}" alt="{words}">'
    if not _ABROAD.match(source) or token.meta.get("is_linked"):
        return f'<span class="image">{words}</span>'
    attributes = " ".join(f'{name}="{value}"' for name, value in _outwards().items())
    return f'<a class="image" href="{html.escape(source)}" {attributes}>{words}</a>'


def _code(renderer: Any, tokens: Sequence[Token], index: int, *_: Any) -> str:
    return f'<pre tabindex="0"><code>{html.escape(tokens[index].content)}</code></pre>\n'


_RULES: dict[str, Callable[..., str]] = {
    "html_block": _text_of_html,
    "html_inline": _text_of_html,
    "image": _image,
    "fence": _code,
    "code_block": _code,
    "table_open": lambda *_: f"{_REGION}<table>\n",
    "table_close": lambda *_: "</table></div>\n",
}
