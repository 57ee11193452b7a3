"""The glossary: each term whole and in its place, and there for whoever links to it."""

import re
from pathlib import Path
from urllib.parse import unquote

from course_lib.authoring.normal import read

ROOT = Path(__file__).parents[1]
FIRST, *ENTRIES = [cell.source for cell in read(ROOT / "notebooks" / "glossary.ipynb").cells]
ENTRY = re.compile(r"## [^\n]+\n\n[^\n]+\.\n\n\[\d\.\d[^\]]*\]\([^)]+\.ipynb\) · [^\n.]+")


def terms() -> list[str]:
    return [entry.splitlines()[0].removeprefix("## ") for entry in ENTRIES]


def anchor(term: str) -> str:
    """As JupyterLab makes it."""
    return term.replace(" ", "-")


def test_an_entry_has_a_sentence_the_lesson_that_teaches_it_and_its_chinese_name():
    assert [entry for entry in ENTRIES if not ENTRY.fullmatch(entry)] == []


def test_terms_stand_in_alphabetical_order_and_once():
    assert terms() == sorted(terms(), key=str.lower)
    assert len({term.lower() for term in terms()}) == len(terms())


def test_the_list_at_the_top_leads_to_every_term():
    assert re.findall(r"\[([^\]]+)\]\(#([^)]+)\)", FIRST) == [(t, anchor(t)) for t in terms()]


def test_every_link_to_the_glossary_finds_its_term():
    known = {anchor(term) for term in terms()}
    lost = [
        f"{path.parent.name}/{path.name}: {link}"
        for path in sorted(ROOT.glob("*/[0-9]*.ipynb"))
        for cell in read(path).cells
        for link in re.findall(r"glossary\.ipynb#([^)\s]+)", cell.source)
        if unquote(link) not in known
    ]
    assert lost == []
