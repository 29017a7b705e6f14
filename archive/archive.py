"""The verbs that every face calls; each takes who is asking (house rule: no default).

`Archive` is thin. The work is in `store`, `retrieve`, `catalog.search`, `ingest`, `fixity`.
"""
