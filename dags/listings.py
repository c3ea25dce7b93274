"""What praw reads of Reddit, as a dump under ROOT: read once, then like any other."""

import argparse
import sys
from dataclasses import replace

from pipeline import storage
from pipeline.reddit import RedditConfig, listing_dump
from pipeline.shards import fingerprint


def reddit_config(options: argparse.Namespace) -> RedditConfig:
    search = (options.search,) if options.search else ()
    config = RedditConfig(options.subreddits, limit=options.limit, search=search, contact=options.contact or "")
    return replace(config, listings=options.listing) if options.listing else config


def reddit_dump(options: argparse.Namespace, root: str) -> str:
    """Where the posts that praw reads lie: named by what is asked for, so that a run taken up again reads no listing twice."""
    asked = fingerprint(replace(reddit_config(options), contact=""))
    return storage.join(root, "submissions", f"praw-{asked[:16]}.ndjson.zst")


def read_listings(options: argparse.Namespace, root: str) -> None:
    """Asks Reddit for the posts, unless they lie under ROOT already."""
    path = reddit_dump(options, root)
    if storage.exists(path):
        print(f"submissions as read before: {path}; delete it to ask Reddit again", file=sys.stderr)
        return
    for listing in listing_dump(reddit_config(options), path):
        if not options.quiet:
            print(f"{listing.name}  {listing.items:,} posts, {listing.fresh:,} new", file=sys.stderr)
