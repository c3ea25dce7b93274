"""One page of the live web as a stored record, asked for as a crawl would: robots.txt, wishes, address guard, deadline."""

import os
import tempfile
from functools import partial

from dags.reasons import sentence_of
from pipeline.archive import stored_record
from pipeline.fetch.config import FetchConfig
from pipeline.fetch.crawl import crawl_shard
from pipeline.link_rules import link_id, url_drop
from pipeline.schema import LINK, Link, PipelineError
from pipeline.shards import read_table, shard_path, table_of, write_shard
from pipeline.url import Allowed, UrlError, canonical


def fetched_record(url: str, *, contact: str | None, allow_private: tuple[str, ...] = ()) -> bytes:
    """The record of the answer to a URL.  Raises PipelineError with the ledger's reason where there is none."""
    config = FetchConfig(contact=contact or "", allow_private=allow_private)
    allowed = Allowed.parse(allow_private)
    try:
        found = canonical(url, allowed=allowed)
    except UrlError as error:
        raise PipelineError(f"{url}: is no address that can be fetched ({error.defect.name}).") from error
    if drop := url_drop(url, allowed=allowed):
        raise PipelineError(f"{url}: {drop.reason.name}: {drop.reason}. No page is fetched for such a link.")
    link = Link(link_id(found.key), found.key, found.fetch_url, "", 0, "", "", 0)
    with tempfile.TemporaryDirectory(prefix="webtext-try-") as root:
        path = shard_path(root, "links", 0, 1)
        links = write_shard(path, table_of([link], LINK), stage="links", number=0, of=1, recipe="", made_from="")
        pages = crawl_shard(links, root=root, config=config, url_drop=partial(url_drop, allowed=allowed))
        if pages.rows == 0:
            row = read_table(os.path.join(root, "ledger", "pages-00000.arrow")).to_pylist()[0]
            detail = f" ({row['detail']})" if row["detail"] else ""
            raise PipelineError(f"{url}: {row['reason']}: {sentence_of(row['reason'])}{detail}.")
        page = read_table(pages.path).to_pylist()[0]
        return stored_record(page["archive"], offset=page["offset"], length=page["length"])
