"""Backups: everything that the gateway keeps, in one file, and back again.

The database is kept as rows, not as a database's own files, so that a backup of SQLite can be
restored to PostgreSQL and the other way round, and one of an older version to a newer one.
"""
