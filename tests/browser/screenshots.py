"""Pictures of the console for the documentation: `make screenshots`.

They show a company of 100 people on its seventh day, in docs/how-to/console.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import sync_playwright

from tests.browser.conftest import ARGUMENTS, Served
from tests.servers.processes import program
from tests.web.console.company import company, open_company

FOLDER = Path(__file__).parents[2] / "docs" / "how-to" / "console"
ACCOUNT = "/resource?type=Directory_User&key=lbrueckmueller"
VALUE = "/value?type=Directory_User&property=DisplayName&value="
PICTURES = {
    "overview": "/",
    "find": "/find?q=holzmeyer",
    "run": "/runs/3",
    "held-back": "/held/6",
    "account": ACCOUNT,
    "value": f"{VALUE}Holzmeyer+Lena",
}
SIZE = {"width": 1080, "height": 760}


def main() -> None:
    """Writes the pictures."""
    FOLDER.mkdir(exist_ok=True)
    with TemporaryDirectory() as scratch, sync_playwright() as playwright:
        folder = Path(scratch) / "company"
        company(folder, people=100, is_hostile=False)
        with open_company(folder) as engine:
            served = Served(folder, engine)
            browser = playwright.chromium.launch(executable_path=program("chromium", "chromium"), args=list(ARGUMENTS))
            page = browser.new_page(viewport=SIZE, color_scheme="light", timezone_id="UTC")
            page.goto(served.link())
            for name, address in PICTURES.items():
                page.goto(f"{served.settings.address}{address}")
                page.screenshot(path=FOLDER / f"{name}.png")
            browser.close()
            served.stop()


if __name__ == "__main__":
    main()
