"""The papers that are cited: each entry is whole, and its key can be guessed. No build is needed to say so."""

import re
import unicodedata

import pytest
from chapters import ROOT
from pybtex.database import parse_file, parse_string
from pybtex.richtext import Text

ENTRIES = parse_file(ROOT / "references.bib").entries
VENUES = {"article": "journal", "inproceedings": "booktitle", "misc": "howpublished"}


def letters(latex):
    """Return only the letters of a text, small and without accents."""
    plain = unicodedata.normalize("NFKD", str(Text.from_latex(latex)))
    return re.sub(r"[^a-z]", "", plain.lower())


def faults(key, entry):
    """Yield what an entry lacks, and what of its key does not come from it."""
    fields = {name.lower(): value for name, value in entry.fields.items()}
    people = entry.persons.get("author", [])
    lacking = [name for name in ("title", "year", VENUES.get(entry.type, "publisher")) if name not in fields]
    yield from (f"to add {name}" for name in (*lacking, *([] if people else ["author"])))
    if not {"url", "doi"} & fields.keys():
        yield "to add url or doi"
    parts = re.fullmatch(r"([a-z]+)(\d{4})([a-z]+)", key)
    if not parts:
        yield "wanted a key of surname, year and a word of the title, such as vaswani2017attention"
        return
    surname = letters(" ".join((*people[0].prelast_names, *people[0].last_names))) if people else ""
    if people and parts[1] not in surname:
        yield f"the key begins with {parts[1]}; wanted the first author's surname, {surname}"
    if parts[2] != fields.get("year", parts[2]):
        yield f"the key says {parts[2]}; wanted the year, {fields['year']}"
    if parts[3] not in letters(fields.get("title", parts[3])):
        yield f"the key ends with {parts[3]}; wanted a word of the title, {fields['title']}"


@pytest.mark.whole_book
@pytest.mark.parametrize("key", ENTRIES)
def test_entry_is_whole(key):
    found = list(faults(key, ENTRIES[key]))
    assert not found, f"references.bib, {key}: " + "; ".join(found)


WHOLE = {
    "author": "Veli{\\v{c}}kovi{\\'c}, Petar",
    "title": "Two-Word Title",
    "journal": "J",
    "year": "2018",
    "url": "u",
}


@pytest.mark.parametrize(
    ("key", "without", "message"),
    [
        ("velickovic2018title", "", ""),
        ("velickovic2018twoword", "", ""),
        ("velickovic2018title", "author", "to add author"),
        ("velickovic2018title", "title", "to add title"),
        ("velickovic2018title", "journal", "to add journal"),
        ("velickovic2018title", "url", "to add url or doi"),
        ("velickovic-2018", "", "wanted a key of surname, year and a word of the title, such as vaswani2017attention"),
        ("petar2018title", "", "the key begins with petar; wanted the first author's surname, velickovic"),
        ("velickovic2017title", "", "the key says 2017; wanted the year, 2018"),
        ("velickovic2018graph", "", "the key ends with graph; wanted a word of the title, Two-Word Title"),
    ],
)
def test_what_an_entry_lacks_is_told(key, without, message):
    fields = ",".join(f"{name} = {{{value}}}" for name, value in WHOLE.items() if name != without)
    entry = parse_string(f"@article{{{key}, {fields}}}", "bibtex").entries[key]
    assert "; ".join(faults(key, entry)) == message
