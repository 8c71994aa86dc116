"""What is taken over from a data directory of ComfyUI-MSS-Login or Usgromana.

    folder, database, formerkeys   what lies there, read without believing any of it
    layout                         which product, and where it keeps what
    values, records, reading       its users, roles, tokens, grants as they were
    rolemapping, roleplans, belongings, plans → planned
                                   what becomes of them here
    carryout, report               doing it, saying it

Source of every format: the public code of Monster-Spawned-Studios/ComfyUI-MSS-Login (0.0.1 to
what followed 0.0.8) and DayMan84/ComfyUI-Usgromana 1.8.1 (commit 16b4d14). Files are named where
what they do is used; commits in tests/formerinstallation.py.
"""
