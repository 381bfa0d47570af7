"""Where the rows are: PostgreSQL, Spark, and the embedded server."""
