"""The classic design, to be measured against: what people build for this job without simsearch.

Flask behind gunicorn puts the upload on a Redis list, a loop takes what waits, embeds it in a batch, asks Annoy, and
writes the result back to Redis, which the request polls. No database, no validation, no retries.
"""
