"""Find the Chromium or Chrome that prints the book, and that its tests run in."""

import os
import shutil

NAMES = (
    *("chromium-headless-shell", "chrome-headless-shell"),  # without windows: an empty page costs a quarter in it
    *("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"),
)
MAC = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


def find_chromium() -> str | None:
    """Return the path of a Chromium, from the variable CHROMIUM or the usual names."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, (*NAMES, MAC))), None)
