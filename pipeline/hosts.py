"""Which hosts carry no prose of their own: data for the link rules.  A name covers its subdomains.

Where a name comes from: the mirrors of Wikipedia and the lists of picture and film hosts were gathered by hand and are read
against 1,625,997 real links of August 2013 (docs/links.md).  To add a host, add a word.
"""

# Reddit itself: its discussions are not outbound links.
REDDIT = frozenset(["reddit.com", "redd.it", "redditmedia.com", "reddituploads.com", "redditstatic.com", "reddit-stream.com"])

# Every project and language, mobile and zero-rated hosts included.  WebText leaves Wikipedia out because so many test sets
# are made from it (Radford et al. 2019, section 2.1).
WIKIPEDIA = frozenset([
    "wikipedia.org", "wikimedia.org", "wiktionary.org", "wikiquote.org", "wikibooks.org", "wikisource.org", "wikinews.org",
    "wikiversity.org", "wikivoyage.org", "wikidata.org", "mediawiki.org", "wikipedia.com", "wikipedia.net",
])
# The same text under another name.  Not here, because their text is their own: fandom.com, wikia.com, wikihow.com,
# uncyclopedia (2,499 links of the sample).
WIKIPEDIA_MIRRORS = frozenset([
    "wikiwand.com", "wikizero.com", "wikizero.org", "wikizero.info", "wikimili.com", "dbpedia.org", "infogalactic.com",
    "encyclopedia.thefreedictionary.com", "wiki2.org", "wikitia.com", "everybodywiki.com", "alchetron.com", "wikizer.com",
    "en-academic.com", "kiddle.co", "wikivisually.com", "gpedia.com", "howlingpixel.com", "linkfang.org",
])
MOBILE_WIKIPEDIA = "en.m."  # hosts that begin so are mirrors that kept the name of the mobile site

IMAGES = frozenset([
    "imgur.com",  # 47 % of all links of the sample
    "gfycat.com", "giphy.com", "minus.com", "min.us", "flickr.com", "flic.kr", "photobucket.com", "imageshack.us",
    "tinypic.com", "quickmeme.com", "qkme.me", "livememe.com", "memegenerator.net", "deviantart.com", "tumblr.com",
    "twitpic.com", "instagram.com", "instagr.am", "puu.sh", "gyazo.com", "500px.com", "imgflip.com", "picsarus.com",
    "ytmnd.com", "postimage.org", "postimg.org", "dropbox.com",
])
MEDIA = frozenset([
    "youtube.com", "youtu.be", "vimeo.com", "twitch.tv", "soundcloud.com", "bandcamp.com", "liveleak.com", "dailymotion.com",
    "spotify.com", "grooveshark.com", "hulu.com", "netflix.com", "mixcloud.com", "ustream.tv", "vine.co",
])

# Followed like any link, since most lead to a page; a page that a shortener serves itself is no page of ours.
SHORTENERS = frozenset([
    "bit.ly", "t.co", "goo.gl", "tinyurl.com", "ow.ly", "is.gd", "j.mp", "fb.me", "wp.me", "dlvr.it", "buff.ly", "su.pr",
    "tl.gd", "cl.ly", "adf.ly", "lnkd.in", "trib.al", "snurl.com", "shar.es", "db.tt", "amzn.to", "nyti.ms", "wapo.st",
    "on.fb.me", "huff.to", "reut.rs", "bbc.in", "cnn.it", "econ.st", "n.pr", "tiny.cc", "v.gd", "x.co",
])

# Copies under a short code that does not say of what.
OPAQUE_ARCHIVES = frozenset([
    "archive.is", "archive.today", "archive.ph", "archive.fo", "archive.li", "archive.md", "archive.vn", "freezepage.com",
    "peeep.us", "webcache.googleusercontent.com",
])
# Hosts whose URLs may name the page they are a copy of; google.* too, for /amp/s/.
WRAPPERS = OPAQUE_ARCHIVES | {"archive.org", "translate.goog", "r.jina.ai", "cdn.ampproject.org"}

# Endings of a path that are no HTML page.
EXTENSIONS = frozenset([
    "png", "jpg", "jpeg", "gif", "gifv", "bmp", "tif", "tiff", "webp", "svg", "pdf", "doc", "docx", "ppt", "pptx", "xls",
    "xlsx", "csv", "txt", "xml", "rss", "mp3", "mp4", "ogv", "webm", "mov", "avi", "wmv", "swf", "zip", "gz", "exe", "apk",
    "torrent",
])
