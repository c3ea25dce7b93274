"""A Reddit on loopback, with posts of our own making: enough of the API for praw's listings and searches.

    python -m examples.fake_reddit --port 8081 --posts 1500

    export praw_client_id=id praw_client_secret=secret praw_reddit_url=http://127.0.0.1:8081 praw_oauth_url=http://127.0.0.1:8081
"""

import argparse
import base64
import json
import random
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

PAGE_CAP = 100  # items a request, as Reddit
LISTING_CAP = 1000  # items a listing, as Reddit
CREDENTIALS = ("id", "secret")


def base36(number: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + digits
    return digits or "0"


LINK = "https://site{site}.example/page/{number}?a=1&b=2"


def made_up_posts(count: int, *, subreddit: str = "science", link: str = LINK) -> list[dict]:
    """Link posts with varied karma, newest first; every tenth is a self post, some have escapes in their URLs."""
    chance = random.Random(count)
    posts = []
    for number in range(count):
        name = base36(20_000_000 + number)
        is_self = number % 10 == 9
        permalink = f"/r/{subreddit}/comments/{name}/post_{number}/"
        posts.append({
            "id": name,
            "name": f"t3_{name}",
            "title": f"Post {number}",
            "author": "[deleted]",
            "subreddit": subreddit,
            "permalink": permalink,
            "url": f"https://www.reddit.com{permalink}" if is_self else link.format(site=number % 40, number=number),
            "domain": f"self.{subreddit}" if is_self else f"site{number % 40}.example",
            "is_self": is_self,
            "over_18": number % 50 == 7,
            "score": chance.choice((0, 1, 2, 3, 5, 9, 40, 300)),
            "created_utc": 1_370_000_000.0 + 60 * number,
            "selftext": "",
            "num_comments": 0,
        })
    return posts[::-1]


class FakeReddit:
    """Serves `posts` as every listing of every subreddit until `close`.

    `log`: method and path of every request.  `forced`: (status, headers) pairs that the next listing requests get instead.
    """

    def __init__(self, posts: list[dict[str, Any]], *, port: int = 0, bind: str = "127.0.0.1") -> None:
        self.posts = posts
        self.log: list[tuple[str, str]] = []
        self.forced: list[tuple[int, dict[str, str]]] = []
        reddit = self

        class Request(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1

            def log_message(self, *_: Any) -> None:
                pass

            def do_POST(self) -> None:
                reddit.log.append(("POST", self.path))
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                wanted = "Basic " + base64.b64encode(":".join(CREDENTIALS).encode()).decode()
                if self.path != "/api/v1/access_token" or self.headers.get("Authorization") != wanted:
                    self.answer(401, {"error": 401})
                else:
                    token = {"access_token": "token", "token_type": "bearer", "expires_in": 86_400, "scope": "*"}
                    self.answer(200, token)

            def do_GET(self) -> None:
                reddit.log.append(("GET", self.path))
                if self.headers.get("Authorization") != "bearer token":
                    self.answer(401, {"error": 401})
                elif reddit.forced:
                    status, headers = reddit.forced.pop(0)
                    self.answer(status, {"error": status}, headers)
                elif self.path.startswith("/r/private/"):
                    self.answer(403, {"reason": "private", "error": 403})
                elif self.path.startswith("/r/nowhere/"):
                    self.answer(404, {"reason": "banned", "error": 404})
                elif self.path.startswith("/r/"):
                    self.answer(200, reddit.listing(parse_qs(urlsplit(self.path).query)))
                else:
                    self.answer(404, {"error": 404})

            def answer(self, status: int, body: dict, headers: dict[str, str] | None = None) -> None:
                data = json.dumps(body).encode()
                self.send_response(status)
                limits = {"x-ratelimit-remaining": "590.0", "x-ratelimit-used": "10", "x-ratelimit-reset": "60"}
                fields = {"Content-Type": "application/json", "Content-Length": str(len(data)), **limits, **(headers or {})}
                for name, value in fields.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

        self._server = ThreadingHTTPServer((bind, port), Request)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def listing(self, query: dict[str, list[str]]) -> dict:
        limit = min(int(query.get("limit", ["25"])[0]), PAGE_CAP)
        names = [post["name"] for post in self.posts[:LISTING_CAP]]
        after = query.get("after", [""])[0]
        start = names.index(after) + 1 if after in names else 0
        children = self.posts[start : min(start + limit, LISTING_CAP)]
        more = start + limit < len(names)
        data = {"children": [{"kind": "t3", "data": post} for post in children], "before": None}
        return {"kind": "Listing", "data": {**data, "after": children[-1]["name"] if children and more else None}}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> "FakeReddit":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8081)
    parser.add_argument("--bind", default="127.0.0.1", help="0.0.0.0 in a container")
    parser.add_argument("--posts", type=int, default=1500)
    parser.add_argument("--link", default="http://127.0.0.1:8080/page/{number}", help="with {site} and {number}")
    options = parser.parse_args()
    with FakeReddit(made_up_posts(options.posts, link=options.link), port=options.port, bind=options.bind) as reddit:
        sys.stdout.write(f"{reddit.url}\n")
        sys.stdout.flush()
        threading.Event().wait()


if __name__ == "__main__":
    main()
