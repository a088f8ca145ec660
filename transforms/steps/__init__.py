"""The steps of the runner: they read files and database, call transforms, and store rows."""
