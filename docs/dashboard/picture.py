"""Pictures of the dashboard's pages as a browser has them: `python picture.py HOME FOLDER`.

`start.py` serves it meanwhile. A proxy of this process is logged in, so that Chromium need not be.
"""

import http.cookiejar
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, OpenerDirector, Request, build_opener

from bundle import page_id, pages

PATH = "/superset/dashboard/sas-fpt/"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or "chromium"
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--virtual-time-budget=30000",
]


def main() -> None:
    """One picture a page."""
    home, folder = Path(sys.argv[1]), Path(sys.argv[2])
    served = f"http://127.0.0.1:{os.environ.get('PORT', '8088')}"
    opener = logged_in(served, (home / "superset" / "password").read_text(encoding="utf-8"))
    with ThreadingHTTPServer(("127.0.0.1", 0), proxy(served, opener)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for number, (title, _, _) in enumerate(pages()):
            name = "dashboard.png" if number == 0 else f"dashboard-{title.lower()}.png"
            address = f"http://127.0.0.1:{server.server_port}{PATH}?standalone=1#{page_id(title)}"
            take(address, folder / name.replace(" ", "-"))
        server.shutdown()


def logged_in(served: str, password: str) -> OpenerDirector:
    """Who has given the password in the form, as a person does."""
    opener = build_opener(HTTPCookieProcessor(http.cookiejar.CookieJar()))
    page = opener.open(f"{served}/login/").read().decode()
    token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)
    form = {"username": "fpt", "password": password}
    if token:
        form["csrf_token"] = token[1]
    opener.open(f"{served}/login/", urlencode(form).encode())
    return opener


def proxy(served: str, opener: OpenerDirector) -> type[BaseHTTPRequestHandler]:
    """Passes requests on with the cookies of `opener`."""

    class Proxy(BaseHTTPRequestHandler):
        def answer(self) -> None:
            size = int(self.headers.get("Content-Length", 0))
            passed = ("accept", "content-type", "x-csrftoken", "referer")
            heads = {k: v for k, v in self.headers.items() if k.lower() in passed}
            asked = Request(served + self.path, self.rfile.read(size) or None, heads)
            asked.method = self.command
            try:
                with opener.open(asked, timeout=60) as got:
                    status, kind, body = got.status, got.headers["Content-Type"], got.read()
            except HTTPError as error:
                status, kind, body = error.code, error.headers["Content-Type"], error.read()
            self.send_response(status)
            self.send_header("Content-Type", kind or "text/plain")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = answer  # noqa: N815 - the library's names

        def log_message(self, *_words: object) -> None:
            pass

    return Proxy


def take(address: str, to: Path) -> None:
    """A picture of what stands at an address."""
    with tempfile.TemporaryDirectory() as folder:
        shot = [f"--screenshot={to}", "--window-size=1400,1000", f"--user-data-dir={folder}"]
        subprocess.run([CHROMIUM, *FLAGS, *shot, address], check=True, capture_output=True)


if __name__ == "__main__":
    main()
