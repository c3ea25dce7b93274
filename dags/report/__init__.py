"""report.html: a finished corpus at a glance, in one file that opens anywhere.

    facts       numbers and samples, streamed from manifest, shards, ledger, run.json, tokens and metrics
    charts      Vega-Lite specifications, drawn as SVG when the report is written: the page runs no chart library
    page        the template filled, with a policy under which nothing but its own script runs

The corpus is finished before its report is begun, and no hash covers the report, which holds times.
"""
