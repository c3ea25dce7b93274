"""The live crawl: links in, pages in our own WARC out.  Polite, safe, and no page is lost."""
